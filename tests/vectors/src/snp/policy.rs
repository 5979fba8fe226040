//! A policy that wants exactly what a good report says, each field of it.

use super::ReportDraft;
use aws_lc_rs::digest::{SHA256, digest};
use nitride_verify::evidence::SnpProduct;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The fields of `[snp]`, each with its value in TOML.
#[derive(Debug, Clone)]
pub struct PolicyDraft {
    anchors: Anchors,
    fields: BTreeMap<&'static str, String>,
    minimum_tcb: BTreeMap<SnpProduct, String>,
    reference: BTreeMap<&'static str, String>,
}

/// Which root the policy takes besides AMD's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Anchors {
    /// The chain's own.
    Own(String),
    /// None.
    Nobody,
}

impl PolicyDraft {
    /// Nothing is waived.
    #[must_use]
    pub fn strict(report: &ReportDraft) -> Self {
        let quoted = |bytes: &[u8]| format!("\"{}\"", base16ct::lower::encode_string(bytes));
        let only = |bytes: &[u8]| format!("[{}]", quoted(bytes));
        let fields = [
            ("minimum-report-version", "5".to_owned()),
            ("signing-keys", "[\"vcek\", \"vlek\"]".to_owned()),
            ("csp-ids", "[\"CN=test.example\"]".to_owned()),
            ("danger-accept-masked-chip-id", "false".to_owned()),
            ("crl-max-age-secs", "86400".to_owned()),
            ("danger-allow-debug", "false".to_owned()),
            ("danger-allow-migration", "false".to_owned()),
            ("policy-minimum-abi", "\"1.51\"".to_owned()),
            ("policy-smt", "true".to_owned()),
            ("policy-single-socket", "true".to_owned()),
            ("policy-cxl", "false".to_owned()),
            ("policy-aes-256-xts", "true".to_owned()),
            ("policy-rapl-disabled", "true".to_owned()),
            ("policy-ciphertext-hiding", "true".to_owned()),
            ("policy-page-swap-disabled", "true".to_owned()),
            ("vmpl", "[0]".to_owned()),
            ("host-data", only(&report.host_data)),
            ("id-key-digests", only(&report.id_key_digest)),
            ("author-key-digests", only(&report.author_key_digest)),
            ("author-key-enabled", "true".to_owned()),
            ("family-ids", only(&report.family_id)),
            ("image-ids", only(&report.image_id)),
            ("minimum-guest-svn", "3".to_owned()),
            ("provisional-firmware", "false".to_owned()),
            ("minimum-firmware", "\"1.55.29\"".to_owned()),
            ("platform-smt", "true".to_owned()),
            ("platform-tsme", "true".to_owned()),
            ("platform-ecc", "true".to_owned()),
            ("platform-rapl-disabled", "true".to_owned()),
            ("platform-ciphertext-hiding", "true".to_owned()),
            ("platform-alias-check", "true".to_owned()),
            ("platform-tio", "false".to_owned()),
            ("platform-unknown-bits", "0x40".to_owned()),
            ("required-launch-mitigations", "0x21".to_owned()),
            ("required-current-mitigations", "0x3f".to_owned()),
            ("chip-ids", only(&report.chip_id)),
            ("report-ids", only(&report.report_id)),
            ("requires-coverage", "[\"firmware\", \"kernel\"]".to_owned()),
        ];
        let reference = [
            ("name", "\"image\"".to_owned()),
            ("measurement", quoted(&report.measurement)),
            (
                "covers",
                "[\"firmware\", \"kernel\", \"initrd\", \"command-line\"]".to_owned(),
            ),
        ];
        Self {
            anchors: Anchors::Own(String::new()),
            fields: BTreeMap::from(fields),
            minimum_tcb: BTreeMap::from([(report.product, minimum_of(report))]),
            reference: BTreeMap::from(reference),
        }
    }

    /// States a field anew.
    pub fn set(&mut self, field: &'static str, value: &str) {
        let before = self.fields.insert(field, value.to_owned());
        assert!(before.is_some(), "{field} is a field of the policy");
    }

    /// Waives a field.
    pub fn waive(&mut self, field: &'static str) {
        self.set(field, "\"any\"");
    }

    /// States a part of the one reference value anew.
    pub fn set_reference(&mut self, field: &'static str, value: &str) {
        let before = self.reference.insert(field, value.to_owned());
        assert!(before.is_some(), "{field} is a field of a reference value");
    }

    /// Wants another product than the report's.
    pub fn want_only(&mut self, product: SnpProduct) {
        self.minimum_tcb = BTreeMap::from([(product, "\"any\"".to_owned())]);
    }

    /// Takes no root but the vendor's.
    pub fn trust_the_vendor_alone(&mut self) {
        self.anchors = Anchors::Nobody;
    }

    /// Takes this root, unless none is taken.
    pub fn anchor(&mut self, root: &[u8]) {
        if self.anchors != Anchors::Nobody {
            let hash = base16ct::lower::encode_string(digest(&SHA256, root).as_ref());
            self.anchors = Anchors::Own(hash);
        }
    }

    /// The file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let anchors = match &self.anchors {
            Anchors::Own(hash) => format!("[\"{hash}\"]"),
            Anchors::Nobody => "[]".to_owned(),
        };
        let mut toml = format!(
            "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = {anchors}\n\n[snp]\n"
        );
        let mut line = |key: &str, value: &str| {
            writeln!(toml, "{key} = {value}").expect("write to a string");
        };
        for (field, value) in &self.fields {
            line(field, value);
        }
        line("\n[snp.minimum-tcb]\n#", "least versions by product");
        for (product, value) in &self.minimum_tcb {
            line(&product.as_str().to_lowercase(), value);
        }
        line("\n[[snp.reference]]\n#", "the one image");
        for (field, value) in &self.reference {
            line(field, value);
        }
        toml
    }
}

/// The very versions that the report has.
fn minimum_of(report: &ReportDraft) -> String {
    match (report.product, report.reported_tcb) {
        (SnpProduct::Turin, [fmc, bootloader, tee, snp, .., microcode]) => format!(
            "{{ fmc = {fmc}, bootloader = {bootloader}, tee = {tee}, snp = {snp}, \
             microcode = {microcode} }}"
        ),
        (_, [bootloader, tee, .., snp, microcode]) => format!(
            "{{ bootloader = {bootloader}, tee = {tee}, snp = {snp}, microcode = {microcode} }}"
        ),
    }
}
