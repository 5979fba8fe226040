//! Fetching from a stand-in for the vendors' services, and judging by what was fetched.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "test code; a stand-in that cannot be made has no other way to say so"
)]

mod intel;
mod vlek;

use base64ct::{Base64, Encoding};
use nitride_collateral::{AmdWanted, Done, Fetch, Files, Limits, Obstacle, Services, Shelf, Trust};
use nitride_vectors::snp::{Draft, Vector};
use nitride_verify::evidence::{SnpProduct, SnpReport};
use nitride_verify::policy::SigningKey;
use nitride_verify::x509::Certificate;
use nitride_verify::{Allegation, AttestationPolicy, Budget, VekId, Verdict, judge_allegation};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// What is answered at a path, and how often it was asked.
#[derive(Default)]
struct Pages {
    pages: HashMap<String, Vec<u8>>,
    asked: Vec<String>,
}

/// A service on loopback that has some pages, and 404 for the others.
struct StandIn {
    address: SocketAddr,
    pages: Arc<Mutex<Pages>>,
}

impl StandIn {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let pages = Arc::new(Mutex::new(Pages::default()));
        let served = pages.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 8192];
                let len = stream.read(&mut request).unwrap_or(0);
                let head = String::from_utf8_lossy(&request[..len]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                let answer = {
                    let mut pages = served.lock().expect("nobody panics");
                    pages.asked.push(path.clone());
                    pages.pages.get(&path).cloned()
                };
                let absent = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
                let _ = stream.write_all(&answer.unwrap_or(absent));
            }
        });
        Self { address, pages }
    }

    fn has(&self, path: &str, headers: &str, body: &[u8]) {
        let len = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len}\r\n{headers}\r\n"
        );
        let answer = [head.as_bytes(), body].concat();
        let mut pages = self.pages.lock().expect("nobody panics");
        pages.pages.insert(path.to_owned(), answer);
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.pages.lock().expect("nobody panics").asked)
    }

    fn services(&self) -> Services {
        let url = format!("http://{}", self.address);
        Services {
            root_crl: format!("{url}/root-crl"),
            kds: format!("{url}/"),
            pcs: url,
        }
    }

    fn has_amd_of(&self, vector: &Vector, id: &VekId, vcek: &[u8]) {
        let published = &vector.collateral;
        let ask = published.ask.as_deref().expect("an ASK");
        let chain = [pem(ask), pem(&published.ark)].concat();
        self.has("/vcek/v1/Milan/cert_chain", "", chain.as_bytes());
        let crl = &published.crls.first().expect("a list").der;
        self.has("/vcek/v1/Milan/crl", "", crl);
        self.has(&vcek_path(id), "", vcek);
    }
}

fn vcek_path(id: &VekId) -> String {
    let chip = base16ct::lower::encode_string(&id.chip_id);
    let tcb = id.tcb;
    format!(
        "/vcek/v1/Milan/{chip}?blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}",
        tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode
    )
}

fn pem(der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .collect();
    let text = lines.join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn sha256(der: &[u8]) -> [u8; 32] {
    let certificate = Certificate::parse(der, &mut Budget::for_one_round());
    *certificate.expect("a certificate").sha256()
}

/// A folder, and a CA that nothing here is of: only loopback is asked.
struct Place {
    folder: TempDir,
}

impl Place {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).expect("a CA");
        std::fs::write(folder.path().join("ca.pem"), ca.cert.pem()).expect("written");
        Self { folder }
    }

    fn collateral(&self) -> std::path::PathBuf {
        self.folder.path().join("collateral")
    }

    fn fetch(&self, stand_in: &StandIn, now_secs: u64, anchors: Vec<[u8; 32]>) -> Fetch {
        let limits = Limits {
            request_timeout: Duration::from_secs(10),
            max_wait: Duration::ZERO,
            attempts: 1,
            gap: Duration::ZERO,
            ..Limits::default()
        };
        let trust = Trust::Pinned(self.folder.path().join("ca.pem"));
        let folder = self.collateral();
        Fetch::into_folder(&folder, stand_in.services(), &trust, limits, 3600, now_secs)
            .expect("a fetch")
            .danger_with_test_anchors(anchors)
    }

    fn shelf(&self) -> Result<Shelf, Obstacle> {
        Shelf::read(&self.collateral(), &mut Files::new())
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

fn list_of(vector: &Vector) -> Vec<u8> {
    vector.collateral.crls.first().expect("a list").der.clone()
}

/// A good vector whose VCEK is at AMD's and not in the evidence.
struct Milan {
    vector: Vector,
    wanted: AmdWanted,
    vcek: Vec<u8>,
}

impl Milan {
    fn of(draft: &Draft) -> Self {
        let mut vector = draft.build();
        let vcek = vector.allegation.certificates.vcek.take().expect("a VCEK");
        let report = SnpReport::parse(&vector.allegation.report).expect("a report");
        let id = VekId::of_report(&report, SnpProduct::Milan, SigningKey::Vcek).expect("a chip");
        let wanted = AmdWanted {
            product: SnpProduct::Milan,
            vlek: false,
            vceks: vec![id],
        };
        Self {
            vector,
            wanted,
            vcek,
        }
    }

    fn anchors(&self) -> Vec<[u8; 32]> {
        vec![sha256(&self.vector.collateral.ark)]
    }

    fn published_at(&self, stand_in: &StandIn) {
        stand_in.has_amd_of(&self.vector, &self.wanted.vceks[0], &self.vcek);
    }

    fn judged_by(&self, shelf: &Shelf) -> Verdict {
        let policy = AttestationPolicy::parse(&self.vector.policy, "policy.toml").expect("good");
        judge_allegation(
            Allegation::Snp(Box::new(self.vector.allegation.clone())),
            &self.vector.expected,
            &policy,
            &shelf.as_collateral(),
            self.vector.now_secs,
            &mut Budget::for_one_round(),
        )
        .expect("what it needs was fetched")
    }
}

#[test]
fn a_report_is_judged_by_what_amd_answers_and_by_a_bundle_of_it() {
    let milan = Milan::of(&Draft::good());
    let (stand_in, place) = (StandIn::start(), Place::make());
    milan.published_at(&stand_in);
    let now_secs = milan.vector.now_secs;
    let mut fetch = place.fetch(&stand_in, now_secs, milan.anchors());
    run(fetch.amd(&milan.wanted)).expect("all of it is there");
    assert_eq!(stand_in.asked().len(), 3);
    assert!(
        fetch
            .done()
            .iter()
            .all(|done| matches!(done, Done::Fetched(_)))
    );
    let shelf = place.shelf().expect("what was fetched is read");
    assert_eq!(milan.judged_by(&shelf).failures().count(), 0);

    let bundle = place.folder.path().join("bundle.json");
    shelf.write_bundle(&bundle).expect("written");
    let shelf = Shelf::read(&bundle, &mut Files::new()).expect("read");
    assert_eq!(milan.judged_by(&shelf).failures().count(), 0);
}

#[test]
fn what_is_young_is_not_asked_for_and_a_list_that_is_old_is() {
    let milan = Milan::of(&Draft::good());
    let (stand_in, place) = (StandIn::start(), Place::make());
    milan.published_at(&stand_in);
    let now_secs = milan.vector.now_secs;
    for (now_secs, asked) in [
        (now_secs, 3),
        (now_secs + 3599, 0),
        (now_secs + 3600, 1),
        // What was fetched in the future is not believed to be young.
        (now_secs + 1, 1),
    ] {
        let mut fetch = place.fetch(&stand_in, now_secs, milan.anchors());
        run(fetch.amd(&milan.wanted)).expect("all of it is there");
        assert_eq!(stand_in.asked().len(), asked, "{now_secs}");
    }
}

#[test]
fn nothing_that_does_not_hold_replaces_anything() {
    let milan = Milan::of(&Draft::good());
    let now_secs = milan.vector.now_secs;
    let other = Milan::of(&Draft::good());
    let crl = list_of(&milan.vector);
    let mut garbled = crl.clone();
    *garbled.last_mut().expect("not empty") ^= 1;
    let vcek_at = vcek_path(&milan.wanted.vceks[0]);
    let mut spoilt = milan.vcek.clone();
    *spoilt.last_mut().expect("not empty") ^= 1;
    let ask = milan.vector.collateral.ask.clone().expect("an ASK");
    let ark = pem(&milan.vector.collateral.ark);
    let asvk = Draft::vlek().build().collateral.asvk.expect("an ASVK");
    let mut unsigned = Draft::good();
    unsigned.chain.intermediate.spoil_signature = true;
    let unsigned = unsigned.build().collateral.ask.expect("an ASK");
    let mut stale = Draft::good();
    stale.chain.crl.as_mut().expect("a list").next_update = "261102000000Z";
    let stale = list_of(&stale.build());
    for (path, body, word) in [
        ("/vcek/v1/Milan/cert_chain", b"<html>".to_vec(), "neither"),
        (
            "/vcek/v1/Milan/cert_chain",
            pem(&ask).into_bytes(),
            "no ARK-Milan",
        ),
        (
            "/vcek/v1/Milan/cert_chain",
            [pem(&asvk), ark.clone()].concat().into_bytes(),
            "not of this chain",
        ),
        (
            "/vcek/v1/Milan/cert_chain",
            [pem(&unsigned), ark].concat().into_bytes(),
            "not AMD's",
        ),
        ("/vcek/v1/Milan/crl", stale, "dates do not include now"),
        ("/vcek/v1/Milan/crl", b"garbage".to_vec(), "not of its form"),
        ("/vcek/v1/Milan/crl", garbled, "not AMD's"),
        (vcek_at.as_str(), ask.clone(), "another chip or TCB"),
        (vcek_at.as_str(), spoilt, "not AMD's"),
        (vcek_at.as_str(), vec![0; 20_000], "more than"),
    ] {
        let (stand_in, place) = (StandIn::start(), Place::make());
        milan.published_at(&stand_in);
        stand_in.has(path, "", &body);
        let mut fetch = place.fetch(&stand_in, now_secs, milan.anchors());
        let told = run(fetch.amd(&milan.wanted)).expect_err(word).to_string();
        assert!(told.contains(word), "{path}: {told}");
        // What came before it is kept, and is whole.
        if path != "/vcek/v1/Milan/cert_chain" {
            place.shelf().expect("what was kept is whole");
        }
    }

    let (stand_in, place) = (StandIn::start(), Place::make());
    other.published_at(&stand_in);
    let mut fetch = place.fetch(&stand_in, now_secs, Vec::new());
    let told = run(fetch.amd(&other.wanted)).expect_err("no root of AMD's");
    assert!(told.to_string().contains("none of AMD's"), "{told}");

    // A root is pinned by its digest, and has to hold all the same.
    let mut unsigned = Draft::good();
    unsigned.chain.root.spoil_signature = true;
    let unsigned = Milan::of(&unsigned);
    unsigned.published_at(&stand_in);
    let mut fetch = place.fetch(&stand_in, now_secs, unsigned.anchors());
    let told = run(fetch.amd(&unsigned.wanted)).expect_err("nobody signed the root");
    assert!(told.to_string().contains("not AMD's"), "{told}");
}

#[test]
fn only_a_chips_own_key_is_asked_for_and_only_of_its_product() {
    let milan = Milan::of(&Draft::good());
    let now_secs = milan.vector.now_secs;
    let other_kind: fn(&mut VekId) = |id| id.signing_key = SigningKey::Vlek;
    let other_product: fn(&mut VekId) = |id| id.product = SnpProduct::Genoa;
    for change in [other_kind, other_product] {
        let (stand_in, place) = (StandIn::start(), Place::make());
        milan.published_at(&stand_in);
        let mut wanted = milan.wanted.clone();
        change(&mut wanted.vceks[0]);
        let mut fetch = place.fetch(&stand_in, now_secs, milan.anchors());
        let told = run(fetch.amd(&wanted)).expect_err("no chip of Milan's");
        assert!(
            told.to_string().contains("no chip of this product"),
            "{told}"
        );
        assert_eq!(stand_in.asked().len(), 2, "chain and list");
    }
}

#[test]
fn a_list_that_has_run_out_is_asked_for_however_young_it_is() {
    let mut short = Draft::good();
    short.chain.crl.as_mut().expect("a list").next_update = "261122000100Z";
    let short = Milan::of(&short);
    let now_secs = short.vector.now_secs;
    let (stand_in, place) = (StandIn::start(), Place::make());
    short.published_at(&stand_in);
    for (now_secs, asked) in [(now_secs, 3), (now_secs + 120, 1)] {
        let mut fetch = place.fetch(&stand_in, now_secs, short.anchors());
        run(fetch.amd(&short.wanted)).expect("all of it is there");
        assert_eq!(stand_in.asked().len(), asked);
        let next = list_of(&Draft::good().build());
        stand_in.has("/vcek/v1/Milan/crl", "", &next);
    }
}

#[test]
fn a_key_at_hand_that_is_another_chips_is_asked_for() {
    let milan = Milan::of(&Draft::good());
    let (stand_in, place) = (StandIn::start(), Place::make());
    milan.published_at(&stand_in);
    let now_secs = milan.vector.now_secs;
    let vceks = || -> Vec<_> {
        let entries = std::fs::read_dir(place.collateral().join("amd/milan")).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_vcek = |path: &std::path::PathBuf| path.display().to_string().contains("/vcek-");
        paths
            .filter(is_vcek)
            .filter(|p| p.extension().is_some_and(|end| end == "der"))
            .collect()
    };
    for asked in [3, 0, 1] {
        if asked == 1 {
            let ask = milan.vector.collateral.ask.clone().expect("an ASK");
            std::fs::write(&vceks()[0], ask).expect("written");
        }
        let mut fetch = place.fetch(&stand_in, now_secs, milan.anchors());
        run(fetch.amd(&milan.wanted)).expect("all of it is there");
        assert_eq!(stand_in.asked().len(), asked);
        assert_eq!(std::fs::read(&vceks()[0]).expect("a key"), milan.vcek);
    }
}

#[test]
fn a_list_is_not_replaced_by_an_older_one() {
    let good = Draft::good();
    let mut older = Draft::good();
    older.chain.crl.as_mut().expect("a list").this_update = "261001000000Z";
    // Of the same root's key, whose certificate is signed anew each time.
    let older = list_of(&older.build());
    let milan = Milan::of(&good);
    let now_secs = milan.vector.now_secs;
    let (stand_in, place) = (StandIn::start(), Place::make());
    milan.published_at(&stand_in);
    let mut first = place.fetch(&stand_in, now_secs, milan.anchors());
    run(first.amd(&milan.wanted)).expect("all of it is there");
    let before = std::fs::read(place.collateral().join("amd/milan/crl.der")).expect("a list");
    stand_in.has("/vcek/v1/Milan/crl", "", &older);
    let mut later = place.fetch(&stand_in, now_secs + 3600, milan.anchors());
    let told = run(later.amd(&milan.wanted))
        .expect_err("an older list")
        .to_string();
    assert!(told.contains("older than the one"), "{told}");
    let after = std::fs::read(place.collateral().join("amd/milan/crl.der")).expect("a list");
    assert_eq!(before, after);
}
