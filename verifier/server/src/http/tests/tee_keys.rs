//! Services that encrypt to some forms of TEE key and to no others.

use super::world::{Guest, Plan, World};
use crate::jwe::opening::TeeKey;
use crate::tee_keys::TeeKeys;
use nitride_kbs::messages::{Request, parse_challenge};
use nitride_kbs::tee_key::TeeKeyForm;

#[test]
fn a_key_of_a_form_that_the_configuration_leaves_out_is_refused_and_what_is_taken_is_said() {
    for taken in TeeKeyForm::ALL {
        let world = World::of(Plan {
            tee_keys: TeeKeys::of(&[taken]).unwrap(),
            ..Plan::default()
        });
        let asked = Request::new("sample").to_json();
        let challenge = world.post("/kbs/v0/auth", &[], asked.as_bytes());
        let challenge = parse_challenge(&challenge.body).unwrap();
        assert_eq!(challenge.tee_keys(), [taken]);
        for form in TeeKeyForm::ALL {
            let guest = Guest::challenged(&world);
            let key = TeeKey::draw(form).public();
            let answer = guest.send(&world, &guest.attestation_of(&key, "1"));
            if form == taken {
                assert_eq!(answer.status, 200, "{form:?}");
                continue;
            }
            answer.assert_refused(401, "UnsupportedTeeKey");
            let detail = answer.error().detail;
            assert!(
                detail.contains(form.as_str()) && detail.ends_with(taken.as_str()),
                "{detail}"
            );
        }
    }
}

#[test]
fn a_form_that_is_not_taken_is_refused_whatever_its_evidence_says() {
    let world = World::of(Plan {
        tee_keys: TeeKeys::of(&[TeeKeyForm::X25519MlKem768]).unwrap(),
        ..Plan::default()
    });
    let guest = Guest::challenged(&world);
    let mut attestation = guest.attestation("1");
    attestation.tee_evidence = Guest::challenged(&world).attestation("1").tee_evidence;
    let answer = guest.send(&world, &attestation);
    answer.assert_refused(401, "UnsupportedTeeKey");
}
