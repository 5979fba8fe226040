//! docs/verification.md says what the code does: each check, its number and its vectors.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "tests say what is wrong by panicking")]

use nitride_verify::CheckName;
use nitride_verify::checks::{azure, gpu, snp, tdx, tpm};
use std::collections::BTreeMap;

const PAPER: &str = include_str!("../../../docs/verification.md");

/// One row of a table: number, check, and what stands in the last column.
type Row = (u8, String, Vec<String>);

/// What the paper says under a heading.
fn section(heading: &str) -> &'static str {
    let (_, section) = PAPER
        .split_once(&format!("\n## {heading}\n"))
        .expect("the paper has the section");
    section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section)
}

/// The rows of the section's table.
fn rows(heading: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in section(heading).lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [number, check, .., vectors] = cells[..]
            && let Ok(number) = number.parse()
        {
            let vectors = vectors.split(", ").filter(|vector| !vector.is_empty());
            let bare = |cell: &str| cell.trim_matches('`').to_owned();
            rows.push((number, bare(check), vectors.map(bare).collect()));
        }
    }
    rows
}

/// What the code says: its numbered checks in order, each with its vectors.
fn expected(checks: &[CheckName], defects: &[(&'static str, &'static str)]) -> Vec<Row> {
    let mut vectors: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (check, name) in defects {
        vectors.entry(check).or_default().push((*name).to_owned());
    }
    checks
        .iter()
        .filter(|check| check.number != 0)
        .map(|check| {
            let vectors = vectors.remove(check.name).unwrap_or_default();
            (check.number, check.name.to_owned(), vectors)
        })
        .collect()
}

#[test]
fn the_table_of_sev_snp_is_that_of_the_code() {
    let defects: Vec<_> = nitride_vectors::snp::DEFECTS
        .into_iter()
        .flatten()
        .map(|defect| (defect.check, defect.name))
        .collect();
    let (said, done) = (rows("SEV-SNP"), expected(snp::CHECKS, &defects));
    for (said, done) in said.iter().zip(&done) {
        assert_eq!(said, done);
    }
    assert_eq!(said.len(), done.len());
}

#[test]
fn the_table_of_sev_snp_names_every_field_of_its_policy() {
    let section = section("SEV-SNP");
    let fields = include_str!("loose.toml").lines();
    let fields = fields.skip_while(|line| *line != "[snp]");
    for field in fields.filter_map(|line| Some(line.split_once(" = ")?.0)) {
        let is_product = ["milan", "genoa", "turin"].contains(&field);
        assert!(
            is_product || section.contains(&format!("`{field}`")),
            "{field}"
        );
    }
}

#[test]
fn the_table_of_tdx_is_that_of_the_code() {
    let defects = nitride_vectors::tdx::DEFECTS.iter();
    let defects: Vec<_> = defects.map(|defect| (defect.check, defect.name)).collect();
    let (said, done) = (rows("TDX"), expected(tdx::CHECKS, &defects));
    for (said, done) in said.iter().zip(&done) {
        assert_eq!(said, done);
    }
    assert_eq!(said.len(), done.len());
}

#[test]
fn the_table_of_tdx_names_every_field_of_its_policy() {
    let section = section("TDX");
    let policy = nitride_vectors::tdx::Spec::good().policy;
    let fields = policy.lines().skip_while(|line| *line != "[tdx]");
    let fields = fields.take_while(|line| *line != "[[tdx.reference]]");
    for field in fields.filter_map(|line| Some(line.split_once(" = ")?.0)) {
        assert!(section.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn the_example_of_a_policy_for_sev_snp_is_good() {
    let text = include_str!("../../../examples/config/service/attestation-snp.toml");
    let policy = nitride_verify::AttestationPolicy::parse(text, "attestation-snp.toml");
    assert!(policy.expect("the example is good").snp().is_some());
}

#[test]
fn the_example_of_a_policy_for_tdx_is_good() {
    let text = include_str!("../../../examples/config/service/attestation-tdx.toml");
    let policy = nitride_verify::AttestationPolicy::parse(text, "attestation-tdx.toml");
    assert!(policy.expect("the example is good").tdx().is_some());
}

#[test]
fn the_table_of_azure_is_that_of_the_code() {
    let defects: Vec<_> = nitride_vectors::azure::DEFECTS
        .iter()
        .map(|defect| (defect.check, defect.name))
        .collect();
    let own: Vec<CheckName> = azure::SNP_CHECKS
        .iter()
        .filter(|check| check.name.starts_with("az-"))
        .copied()
        .collect();
    assert_eq!(rows("Azure"), expected(&own, &defects));
}

#[test]
fn the_table_of_nvidia_devices_is_that_of_the_code() {
    let defects = nitride_vectors::gpu::DEFECTS.iter();
    let defects: Vec<_> = defects.map(|defect| (defect.check, defect.name)).collect();
    let (said, done) = (rows("NVIDIA devices"), expected(gpu::CHECKS, &defects));
    for (said, done) in said.iter().zip(&done) {
        assert_eq!(said, done);
    }
    assert_eq!(said.len(), done.len());
}

#[test]
fn the_table_of_nvidia_devices_names_every_field_of_its_policy() {
    let section = section("NVIDIA devices");
    let policy = nitride_vectors::gpu::Draft::good().policy;
    let fields = policy.lines().take_while(|line| !line.starts_with("[["));
    for field in fields.filter_map(|line| Some(line.split_once(" = ")?.0)) {
        assert!(section.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn the_table_of_a_tpm_is_that_of_the_code() {
    let defects: Vec<_> = nitride_vectors::tpm::DEFECTS
        .iter()
        .map(|defect| (defect.check, defect.name))
        .collect();
    assert_eq!(rows("TPM"), expected(tpm::CHECKS, &defects));
}

#[test]
fn the_table_of_a_tpm_names_every_field_of_its_policy() {
    let section = section("TPM");
    let policy = nitride_vectors::tpm::Draft::good().policy;
    let fields = policy.lines().take_while(|line| !line.starts_with("[["));
    for field in fields.filter_map(|line| Some(line.split_once(" = ")?.0)) {
        assert!(section.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn the_example_of_a_policy_for_nvidia_devices_is_good() {
    let text = include_str!("../../../examples/config/service/attestation-gpu.toml");
    let policy = nitride_verify::AttestationPolicy::parse(text, "attestation-gpu.toml");
    let policy = policy.expect("the example is good");
    assert!(policy.gpu().is_some());
}

#[test]
fn the_example_of_a_policy_for_tpms_is_good() {
    let text = include_str!("../../../examples/config/service/attestation-tpm.toml");
    let policy = nitride_verify::AttestationPolicy::parse(text, "attestation-tpm.toml");
    assert!(policy.expect("the example is good").tpm().is_some());
}
