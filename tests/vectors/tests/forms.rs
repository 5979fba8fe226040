//! JSON forms of evidence name no member twice, at any depth: of two readers of one text each would have
//! another value.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use nitride_vectors::{azure, gpu, snp, tdx, tpm};
use nitride_verify::{
    AttestationPolicy, AzureAllegation, AzureHardware, Budget, Collateral, Expected, GpuAllegation,
    Refusal, Refused, SampleAllegation, Tee, UnverifiedEvidence, judge,
};
use serde_json::Value;

/// A form, as the machine has it, and a policy with a section for it.
struct Form {
    tee: Tee,
    primary: String,
    policy: String,
}

/// One of each kind.
fn forms() -> Vec<Form> {
    let sample = SampleAllegation {
        svn: "1".to_owned(),
        report_data: [7; 48],
    };
    let snp = snp::Draft::good().build();
    let tdx = tdx::Spec::good().make().unwrap();
    let (tpm, tpm_policy) = tpm::Draft::certified().build();
    let azure = |hardware| AzureAllegation {
        version: 1,
        quote: tpm.quote.clone(),
        hcl_report: vec![7],
        hardware,
    };
    let over_snp = azure(AzureHardware::Snp { vcek: vec![7] });
    let over_tdx = azure(AzureHardware::Tdx { quote: vec![7] });
    let (_, below) = tdx.policy.split_once("[tdx]").unwrap();
    let azure_policy = format!(
        "{}[azure.tdx]{}",
        azure::Draft::good().policy_over(&snp.policy),
        below.replace("[tdx.", "[azure.tdx.")
    );
    let forms = [
        (
            Tee::Sample,
            sample.to_kbs_form(),
            gpu::Draft::good().build().policy,
        ),
        (
            Tee::Snp,
            snp.allegation.to_kbs_form().unwrap(),
            snp.policy.clone(),
        ),
        (Tee::Tdx, tdx.evidence.to_kbs_form(), tdx.policy.clone()),
        (Tee::Tpm, tpm.to_kbs_form(&[7; 48]), tpm_policy),
        (over_snp.tee(), over_snp.to_kbs_form(), azure_policy.clone()),
        (over_tdx.tee(), over_tdx.to_kbs_form(), azure_policy),
    ];
    let forms = forms.into_iter().map(|(tee, primary, policy)| Form {
        tee,
        primary,
        policy,
    });
    forms.collect()
}

/// What is said of the form itself; nothing of what it says is good here.
fn is_malformed(form: &Form, primary: &str) -> bool {
    let evidence = UnverifiedEvidence {
        tee: form.tee,
        primary,
        additional: "",
    };
    let policy = &form.policy;
    let judged = judge(
        &evidence,
        &Expected::of([7; 48]),
        &AttestationPolicy::parse(policy, "policy.toml").unwrap(),
        &Collateral::default(),
        0,
        &mut Budget::for_one_round(),
    );
    is_of_the_form(judged.err())
}

fn is_of_the_form(refused: Option<Refused>) -> bool {
    refused.is_some_and(|refused| matches!(refused.cause, Refusal::Malformed(_)))
}

/// The text with its member number `left` twice, members of members counted too; `left` is `None` then.
fn with_twice(value: &Value, left: &mut Option<usize>) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let is_it = *left == Some(0);
                *left = left.and_then(|left| left.checked_sub(1));
                let member = format!("{}:{}", Value::from(name.as_str()), with_twice(value, left));
                if is_it {
                    format!("{member},{member}")
                } else {
                    member
                }
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(entries) => {
            let entries = entries.iter().map(|entry| with_twice(entry, left));
            format!("[{}]", entries.collect::<Vec<_>>().join(","))
        }
        value => value.to_string(),
    }
}

/// The text, with each of its members twice in turn.
fn each_twice(json: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(json).unwrap();
    let texts = (0..).map_while(|at| {
        let mut left = Some(at);
        let text = with_twice(&value, &mut left);
        left.is_none().then_some(text)
    });
    texts.collect()
}

#[test]
fn a_member_named_twice_is_refused_in_every_form() {
    for form in forms() {
        let tee = form.tee;
        assert!(!is_malformed(&form, &form.primary), "{tee:?}");
        let texts = each_twice(&form.primary);
        assert!(texts.len() > 1, "{tee:?}");
        for text in texts {
            assert!(is_malformed(&form, &text), "{tee:?}: {text}");
        }
    }
}

#[test]
fn a_member_of_devices_named_twice_is_refused() {
    let made = gpu::Draft::good().build();
    let devices = vec![("HOPPER", made.evidence.clone()); 2];
    let devices = GpuAllegation::to_kbs_form(&devices);
    assert!(!is_of_the_form(made.judge(&devices).err()));
    let texts = each_twice(&devices);
    assert!(texts.len() > 6);
    for text in texts {
        assert!(is_of_the_form(made.judge(&text).err()), "{text}");
    }
}
