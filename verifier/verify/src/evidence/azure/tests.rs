use super::*;
use proptest::prelude::*;

fn allegation(hardware: AzureHardware) -> AzureAllegation {
    AzureAllegation {
        version: 2,
        quote: TpmQuote {
            message: vec![1, 2],
            signature: vec![3],
            pcrs: std::array::from_fn(|index| [u8::try_from(index).unwrap(); 32]),
        },
        hcl_report: vec![4, 5],
        hardware,
    }
}

fn snp() -> AzureAllegation {
    allegation(AzureHardware::Snp { vcek: vec![6] })
}

fn read(primary: &str) -> Result<AzureAllegation, Refusal> {
    read_snp(primary, &mut Budget::for_one_round())
}

#[test]
fn both_forms_are_read_and_written() {
    assert_eq!(read(&snp().to_kbs_form()).unwrap(), snp());
    let tdx = allegation(AzureHardware::Tdx { quote: vec![6] });
    let form = tdx.to_kbs_form();
    let budget = &mut Budget::for_one_round();
    assert_eq!(read_tdx(&form, budget).unwrap(), tdx);
    assert!(read(&form).is_err(), "each is read in its own form alone");
    assert!(read_tdx(&snp().to_kbs_form(), budget).is_err());
}

#[test]
fn what_is_not_of_the_form_is_refused() {
    let good = snp().to_kbs_form();
    for (from, to) in [
        ("\"version\":2", "\"version\":3"),
        ("\"version\":2", "\"version\":2,\"more\":1"),
        ("\"version\":2", "\"version\":2,\"version\":2"),
        ("\"vcek\":\"Bg==\"", "\"vcek\":\"Bg\""),
        ("\"vcek\":\"Bg==\"", "\"vcek\":\"B+==\""),
        ("\"message\":\"0102\"", "\"message\":\"010\""),
        ("\"signature\":\"03\"", "\"signature\":\"0x\""),
        ("\"0000", "\"00"),
        ("\"pcrs\":[", "\"pcrs\":[\"00\","),
        ("\"pcrs\":[", "\"pcrs\":[null,"),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(read(&good.replacen(from, to, 1)).is_err(), "{to}");
    }
    let one_less = format!("\"{}\",", "17".repeat(32));
    let text = good.replacen(&one_less.replace("17", "00"), "", 1);
    assert!(text.len() < good.len() && read(&text).is_err(), "23 PCRs");
    let long = format!("\"message\":\"{}\"", "00".repeat(1025));
    assert!(read(&good.replacen("\"message\":\"0102\"", &long, 1)).is_err());
    let long = format!("\"hcl_report\":\"{}\"", "AAAA".repeat(2732));
    assert!(read(&good.replacen("\"hcl_report\":\"BAU=\"", &long, 1)).is_err());
}

#[test]
fn decoding_is_paid_for() {
    let mut budget = Budget::new(crate::Allowance {
        bytes: 2,
        ..crate::Allowance::FOR_ONE_ROUND
    });
    let refused = read_snp(&snp().to_kbs_form(), &mut budget);
    assert!(matches!(refused, Err(Refusal::OverBudget(_))));
}

fn runtime(json: &str) -> Result<HclRuntime, HclRuntimeMalformed> {
    HclRuntime::parse(json.as_bytes(), &mut Budget::for_one_round())
}

const KEY: &str =
    "{\"kid\":\"HCLAkPub\",\"key_ops\":[\"sign\"],\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQI\"}";

#[test]
fn runtime_data_are_read() {
    let read = runtime(&format!(
        "{{\"keys\":[{{\"kid\":\"HCLEkPub\",\"kty\":\"RSA\"}},{KEY}],\
         \"vm-configuration\":{{\"console-enabled\":true,\"secure-boot\":false,\"x\":1,\
         \"vmUniqueId\":\"A\"}},\"user-data\":\"{}\"}}",
        "Ab".repeat(64)
    ));
    let wanted = HclRuntime {
        attestation_key: (vec![1, 2], vec![1, 0, 1]),
        user_data: Some(vec![0xab; 64]),
        secure_boot: Some(false),
        console_enabled: Some(true),
        vm_unique_id: Some("A".to_owned()),
    };
    assert_eq!(read.unwrap(), wanted);
    let bare = runtime(&format!("{{\"keys\":[{KEY}]}}")).unwrap();
    assert_eq!((bare.user_data, bare.secure_boot), (None, None));
}

#[test]
fn there_is_one_attestation_key_and_it_is_rsa() {
    let of_keys = |keys: &str| runtime(&format!("{{\"keys\":[{keys}]}}"));
    for (keys, count) in [(String::new(), 0), (format!("{KEY},{KEY}"), 2)] {
        assert!(matches!(
            of_keys(&keys),
            Err(HclRuntimeMalformed::KeyCount(found)) if found == count
        ));
    }
    for (from, to) in [
        ("\"RSA\"", "\"EC\""),
        ("\"AQI\"", "\"\""),
        ("\"AQI\"", "\"A+I\""),
        (",\"n\":\"AQI\"", ""),
        ("\"AQAB\"", "\"AQABAQABAQAB\""),
    ] {
        let refused = of_keys(&KEY.replace(from, to));
        assert!(matches!(refused, Err(HclRuntimeMalformed::Key)), "{to}");
    }
    let short = format!("{{\"keys\":[{KEY}],\"user-data\":\"00\"}}");
    assert!(matches!(
        runtime(&short),
        Err(HclRuntimeMalformed::UserData)
    ));
    let twice = format!("{{\"keys\":[{KEY}],\"keys\":[{KEY}]}}");
    assert!(matches!(runtime(&twice), Err(HclRuntimeMalformed::Form(_))));
    let deep = format!(
        "{{\"keys\":[{KEY}],\"x\":{}1{}}}",
        "[".repeat(8),
        "]".repeat(8)
    );
    assert!(matches!(
        runtime(&deep),
        Err(HclRuntimeMalformed::OverBudget(_))
    ));
}

proptest! {
    #[test]
    fn any_evidence_survives_its_form(
        message in proptest::collection::vec(any::<u8>(), 0..100),
        hcl_report in proptest::collection::vec(any::<u8>(), 0..100),
        vcek in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut any = snp();
        any.quote.message = message;
        any.hcl_report = hcl_report;
        any.hardware = AzureHardware::Snp { vcek };
        prop_assert_eq!(read(&any.to_kbs_form()).unwrap(), any);
    }

    #[test]
    fn no_text_makes_the_readers_panic(text: String, at in 0..2000usize) {
        let budget = &mut Budget::for_one_round();
        let _ = (read_snp(&text, budget), read_tdx(&text, budget), runtime(&text));
        let mut form = snp().to_kbs_form();
        let at = (0..=at.min(form.len())).rev().find(|at| form.is_char_boundary(*at));
        form.insert_str(at.unwrap_or(0), &text);
        let _ = read(&form);
    }
}
