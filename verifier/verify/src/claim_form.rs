//! What every claim of a verdict is called in a token, and how its value is written: whoever names a
//! value in advance, as a kill switch does, is told of a name that nothing states and of a spelling
//! that nothing equals.

use crate::evidence::{PCR_COUNT, Tee};
use std::fmt;

/// How a claim's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimForm {
    /// So many bytes in hexadecimal digits, the letters small.
    Hex(usize),
    /// A whole number in decimal digits.
    Number,
    /// `true` or `false`.
    Flag,
    /// A word of the hardware's maker, of the policy or of the cloud.
    Text,
    /// Another value at the machine's next start or at its next round: none of them names it for long.
    Passing,
}
use ClaimForm::{Flag, Hex, Number, Passing, Text};

type Row = (&'static str, ClaimForm);

const SAMPLE: &[Row] = &[("svn", Text), ("report_data", Passing)];

const SNP: &[Row] = &[
    ("report_version", Number),
    ("product", Text),
    ("signing_key", Text),
    ("csp_id", Text),
    ("measurement", Hex(48)),
    ("report_data", Passing),
    ("init_data", Hex(32)),
    ("init_data_bound", Flag),
    ("family_id", Hex(16)),
    ("image_id", Hex(16)),
    ("id_key_digest", Hex(48)),
    ("author_key_digest", Hex(48)),
    ("report_id", Passing),
    ("chip_id", Hex(64)),
    ("guest_svn", Number),
    ("vmpl", Number),
    ("policy_abi_major", Number),
    ("policy_abi_minor", Number),
    ("policy_smt_allowed", Flag),
    ("policy_migrate_ma", Flag),
    ("policy_debug_allowed", Flag),
    ("policy_single_socket", Flag),
    ("platform_smt_enabled", Flag),
    ("platform_tsme_enabled", Flag),
    ("platform_info", Number),
    ("reported_tcb_bootloader", Number),
    ("reported_tcb_tee", Number),
    ("reported_tcb_snp", Number),
    ("reported_tcb_microcode", Number),
];

/// Objects of SEV-SNP, each with these members.
const SNP_TCBS: &[&str] = &["current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"];
const SNP_TCB: &[Row] = &[
    ("fmc", Number),
    ("bootloader", Number),
    ("tee", Number),
    ("snp", Number),
    ("microcode", Number),
];

const TDX: &[Row] = &[
    ("quote_version", Number),
    ("mr_td", Hex(48)),
    ("mr_seam", Hex(48)),
    ("mr_signer_seam", Hex(48)),
    ("mr_config_id", Hex(48)),
    ("mr_owner", Hex(48)),
    ("mr_owner_config", Hex(48)),
    ("rtmr_0", Hex(48)),
    ("rtmr_1", Hex(48)),
    ("rtmr_2", Hex(48)),
    ("rtmr_3", Hex(48)),
    ("tee_tcb_svn", Hex(16)),
    ("td_attributes", Hex(8)),
    ("seam_attributes", Hex(8)),
    ("xfam", Hex(8)),
    ("report_data", Passing),
    ("tee_tcb_svn_2", Hex(16)),
    ("mr_service_td", Hex(48)),
    ("td_id", Hex(32)),
    ("vm_id", Number),
    ("device_info", Hex(48)),
    ("current_service_td_hash", Hex(48)),
    ("init_data_bound", Flag),
    ("tcb_status", Text),
    ("current_tcb_status", Text),
    ("tcb_evaluation_number", Number),
    ("tcb_date", Text),
    ("fmspc", Hex(6)),
    ("platform_instance", Hex(16)),
];

const TPM: &[Row] = &[
    ("ak_sha256", Hex(32)),
    ("ak_name", Hex(34)),
    ("ak_root", Hex(32)),
    ("ak_bound_by", Text),
];

const AZURE: &[Row] = &[
    ("secure_boot", Flag),
    ("console_enabled", Flag),
    ("vm_unique_id", Text),
    ("user_data", Hex(64)),
];

/// Of a TPM's quote, whoever brings it.
const QUOTED: &[Row] = &[
    ("pcr08", Hex(32)),
    ("init_data_bound", Flag),
    ("reset_count", Passing),
    ("restart_count", Passing),
];

const NVIDIA: &[Row] = &[
    ("device_name", Text),
    ("device_id", Text),
    ("model", Text),
    ("vbios_version", Text),
    ("driver_version", Text),
    ("board", Text),
    ("measurements_sha384", Hex(48)),
];

/// The reference value that matched.
const REFERENCE: &[Row] = &[("reference_value", Text), ("reference_set", Text)];
const COVERAGE: &[Row] = &[
    ("covers_firmware", Flag),
    ("covers_kernel", Flag),
    ("covers_initrd", Flag),
    ("covers_command_line", Flag),
    ("covers_disk", Flag),
];
/// Of what anybody vouches for; not of what lies in an object.
const ANCHOR: &str = "test-anchor";

impl ClaimForm {
    /// The form of a claim by its name, `OBJECT.MEMBER` where it lies in an object; `None` where no
    /// verdict on this TEE has one that can be compared: none of this name, a list, a whole object, or
    /// what lies deeper.
    #[must_use]
    pub fn of(tee: Tee, name: &str) -> Option<Self> {
        match name.split_once('.') {
            None if name == ANCHOR => (tee != Tee::Sample).then_some(Flag),
            None => find(tables(tee), name),
            Some((object, member)) => match (tee, object) {
                (Tee::Snp, object) if SNP_TCBS.contains(&object) => find(&[SNP_TCB], member),
                (Tee::AzSnpVtpm, "hardware") => find(tables(Tee::Snp), member),
                (Tee::AzTdxVtpm, "hardware") => find(tables(Tee::Tdx), member),
                (Tee::Tpm | Tee::AzSnpVtpm | Tee::AzTdxVtpm, "pcrs") => pcr(member),
                _ => None,
            },
        }
    }

    /// Whether a claim of this form can have a value that is written so.
    #[must_use]
    pub fn takes(self, text: &str) -> bool {
        match self {
            Hex(len) => {
                let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                text.len() == 2 * len && text.bytes().all(is_digit)
            }
            Number => text
                .parse()
                .is_ok_and(|number: u64| number.to_string() == text),
            Flag => matches!(text, "true" | "false"),
            Text => !text.is_empty() && !text.chars().any(char::is_control),
            Passing => false,
        }
    }
}

impl fmt::Display for ClaimForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hex(len) => write!(f, "{} hexadecimal digits with small letters", 2 * len),
            Number => f.write_str("a whole number in decimal digits"),
            Flag => f.write_str("true or false"),
            Text => f.write_str("a text without control characters"),
            Passing => f.write_str("another value at each start or round"),
        }
    }
}

fn tables(tee: Tee) -> &'static [&'static [Row]] {
    match tee {
        Tee::Sample => &[SAMPLE, REFERENCE],
        Tee::Snp => &[SNP, REFERENCE, COVERAGE],
        Tee::Tdx => &[TDX, REFERENCE, COVERAGE],
        Tee::Tpm => &[TPM, QUOTED, REFERENCE, COVERAGE],
        Tee::AzSnpVtpm | Tee::AzTdxVtpm => &[AZURE, QUOTED, REFERENCE, COVERAGE],
        Tee::Nvidia => &[NVIDIA, REFERENCE],
    }
}

fn find(tables: &[&[Row]], name: &str) -> Option<ClaimForm> {
    let mut rows = tables.iter().copied().flatten();
    rows.find(|row| row.0 == name).map(|row| row.1)
}

/// `pcr00` to `pcr23`.
fn pcr(name: &str) -> Option<ClaimForm> {
    let mut names = (0..PCR_COUNT).map(|index| format!("pcr{index:02}"));
    names.any(|known| known == name).then_some(Hex(32))
}
