//! What AMD publishes for keys of clouds: a chain and a list of its own.

use super::*;
use nitride_verify::CheckOutcome;

const REVOKED: u64 = 0x0001_0001;

/// A VLEK's report, and what AMD answers about it: the list for VLEKs names its intermediate where
/// `is_revoked`, that for VCEKs never.
fn published(is_revoked: bool) -> (Vector, StandIn) {
    let mut draft = Draft::vlek();
    let for_vceks = draft.build();
    if is_revoked {
        let list = draft.chain.crl.as_mut().expect("a list");
        list.revoked.push(REVOKED);
    }
    let for_vleks = draft.build();
    let ask = Draft::good().build().collateral.ask.expect("an ASK");
    let ark = &for_vleks.collateral.ark;
    let asvk = for_vleks.collateral.asvk.as_deref().expect("an ASVK");
    let stand_in = StandIn::start();
    for (kind, intermediate, vector) in [("vcek", &ask[..], &for_vceks), ("vlek", asvk, &for_vleks)]
    {
        let chain = [pem(intermediate), pem(ark)].concat();
        stand_in.has(
            &format!("/{kind}/v1/Milan/cert_chain"),
            "",
            chain.as_bytes(),
        );
        stand_in.has(&format!("/{kind}/v1/Milan/crl"), "", &list_of(vector));
    }
    (for_vleks, stand_in)
}

/// The checks that a report fails by what is on the shelf.
fn failed(vector: &Vector, shelf: &Shelf) -> Vec<&'static str> {
    let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("good");
    let judged = judge_allegation(
        Allegation::Snp(Box::new(vector.allegation.clone())),
        &vector.expected,
        &policy,
        &shelf.as_collateral(),
        vector.now_secs,
        &mut Budget::for_one_round(),
    );
    let checks = match &judged {
        Ok(verdict) => verdict.checks(),
        Err(refused) => &refused.checks,
    };
    let failed = checks.iter();
    let failed = failed.filter(|check| matches!(check.outcome, CheckOutcome::Failed(_)));
    failed.map(|check| check.name.name).collect()
}

#[test]
fn an_intermediate_that_the_list_for_vleks_alone_names_is_refused() {
    for (is_revoked, fails) in [(true, &["snp.not-revoked"][..]), (false, &[])] {
        let (vector, stand_in) = published(is_revoked);
        let place = Place::make();
        let anchors = vec![sha256(&vector.collateral.ark)];
        let wanted = AmdWanted {
            product: SnpProduct::Milan,
            vlek: true,
            vceks: Vec::new(),
        };
        let mut fetch = place.fetch(&stand_in, vector.now_secs, anchors);
        run(fetch.amd(&wanted)).expect("all of it is there");
        let asked = stand_in.asked();
        assert!(
            asked.contains(&"/vlek/v1/Milan/crl".to_owned()),
            "{asked:?}"
        );
        assert_eq!(asked.len(), 4);
        let shelf = place.shelf().expect("what was fetched is read");
        assert_eq!(failed(&vector, &shelf), fails);
        // A bundle carries both.
        let bundle = place.folder.path().join("bundle.json");
        shelf.write_bundle(&bundle).expect("written");
        let shelf = Shelf::read(&bundle, &mut Files::new()).expect("read");
        assert_eq!(failed(&vector, &shelf), fails);
    }
}

#[test]
fn a_list_for_vleks_that_does_not_hold_is_not_kept() {
    let (vector, stand_in) = published(false);
    let mut garbled = list_of(&vector);
    *garbled.last_mut().expect("not empty") ^= 1;
    stand_in.has("/vlek/v1/Milan/crl", "", &garbled);
    let place = Place::make();
    let wanted = AmdWanted {
        product: SnpProduct::Milan,
        vlek: true,
        vceks: Vec::new(),
    };
    let anchors = vec![sha256(&vector.collateral.ark)];
    let mut fetch = place.fetch(&stand_in, vector.now_secs, anchors);
    let told = run(fetch.amd(&wanted)).expect_err("not AMD's").to_string();
    assert!(told.contains("not AMD's"), "{told}");
    assert!(!place.collateral().join("amd/milan/vlek-crl.der").exists());
}
