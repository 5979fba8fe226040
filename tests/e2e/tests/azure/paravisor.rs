//! A stand-in for Azure's paravisor: it is between the guest and a TPM in software, and does what OpenHCL
//! does. A read of the report's index begins with a new report if the last one is more than two seconds old,
//! out of what the user data's index holds then; within them the guest reads the old one.

use crate::relay;
use crate::tpm_commands::{NV_READ, Tpm};
use anyhow::{Context, Result};
use base64ct::{Base64UrlUnpadded, Encoding};
use nitride_support::folder::Folder;
use nitride_support::swtpm::Swtpm;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const AK: u32 = 0x8100_0003;
const REPORT: u32 = 0x0140_0001;
const USER_DATA: u32 = 0x0140_0002;
/// As much as this TPM keeps at one index; Azure's has 2600.
const INDEX_LEN: u16 = 2048;
/// Into which the firmware measures something, once.
pub(crate) const MEASURED: &[u32] = &[0, 2, 4, 9];
const REPORT_PERIOD: Duration = Duration::from_secs(2);

/// Asks the hardware for a report over data, in its slot of 1184 bytes.
pub(crate) type Hardware = Arc<dyn Fn(&[u8; 64]) -> Vec<u8> + Send + Sync>;

/// What the paravisor is to do otherwise than it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// It goes on showing its old report.
    NeverRenews,
    /// It names another key than it has.
    OtherKey,
}

pub(crate) struct Paravisor {
    pub(crate) tpm: Swtpm,
    tcti: String,
    state: Arc<Mutex<State>>,
}

struct State {
    kind: u32,
    hardware: Hardware,
    fault: Fault,
    modulus: Vec<u8>,
    renewed: Option<Instant>,
    renewals: usize,
}

impl Paravisor {
    /// `kind` is 2 for SEV-SNP and 4 for TDX.
    pub(crate) fn start(folder: &Folder, kind: u32, hardware: Hardware) -> Result<Self> {
        let tpm = Swtpm::start(folder)?;
        let tpm_port = port_of(&tpm)?;
        let mut firmware = Tpm::connect(tpm_port)?;
        let modulus = firmware.make_key(AK)?;
        firmware.define(REPORT, INDEX_LEN)?;
        for pcr in MEASURED {
            firmware.extend(*pcr)?;
        }
        let mut state = State {
            kind,
            hardware,
            fault: Fault::None,
            modulus,
            renewed: None,
            renewals: 0,
        };
        state.renew(&mut firmware)?;
        drop(firmware);
        let state = Arc::new(Mutex::new(state));
        let of_relay = Arc::clone(&state);
        let tcti = relay::start(tpm_port, move |command, tpm| {
            let mut state = of_relay.lock().ok().context("the stand-in has failed")?;
            state.before(command, tpm)
        })?;
        Ok(Self { tpm, tcti, state })
    }

    /// How the guest reaches it.
    pub(crate) fn tcti(&self) -> &str {
        &self.tcti
    }

    pub(crate) fn commit(&self, fault: Fault) {
        if let Ok(mut state) = self.state.lock() {
            state.fault = fault;
        }
    }

    pub(crate) fn renewals(&self) -> usize {
        self.state.lock().map_or(0, |state| state.renewals)
    }

    /// The PCR that is as after the boot until something is measured into it.
    pub(crate) fn extend(&self, pcr: u32) -> Result<()> {
        Tpm::connect(port_of(&self.tpm)?)?.extend(pcr)
    }
}

impl State {
    fn renew(&mut self, firmware: &mut Tpm) -> Result<()> {
        // An index that nobody wrote reads as zeros.
        let user_data = firmware.read(USER_DATA, 64).unwrap_or(vec![0; 64]);
        let modulus = match self.fault {
            Fault::OtherKey => vec![0x80; 256],
            _ => self.modulus.clone(),
        };
        let runtime = format!(
            "{{\"keys\":[{{\"kid\":\"HCLAkPub\",\"key_ops\":[\"sign\"],\"kty\":\"RSA\",\"e\":\"AQAB\",\
             \"n\":\"{}\"}}],\"vm-configuration\":{{\"console-enabled\":false,\"secure-boot\":true,\
             \"tpm-enabled\":true,\"vmUniqueId\":\"A\"}},\"user-data\":\"{}\"}}",
            Base64UrlUnpadded::encode_string(&modulus),
            base16ct::upper::encode_string(&user_data)
        );
        let mut report_data = [0; 64];
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, runtime.as_bytes());
        report_data[..32].copy_from_slice(hash.as_ref());
        let mut slot = (self.hardware)(&report_data);
        slot.resize(1184, 0);
        let len = u32::try_from(runtime.len())?;
        let mut report = b"HCLA".to_vec();
        let words = |report: &mut Vec<u8>, words: &[u32]| {
            report.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        };
        words(&mut report, &[2, len + 0x4d4, 2, 0, 0, 0, 0]);
        report.extend(slot);
        words(&mut report, &[len + 20, 1, self.kind, 1, len]);
        report.extend(runtime.as_bytes());
        report.resize(usize::from(INDEX_LEN), 0);
        firmware.write(REPORT, &report)?;
        self.renewed = Some(Instant::now());
        self.renewals += 1;
        Ok(())
    }

    fn before(&mut self, command: &[u8], firmware: &mut Tpm) -> Result<()> {
        let is_due = self.renewed.is_none_or(|at| at.elapsed() > REPORT_PERIOD);
        if is_due && self.fault != Fault::NeverRenews && begins_reading(command) {
            self.renew(firmware)?;
        }
        Ok(())
    }
}

/// Whether it reads the report's index from its beginning.
fn begins_reading(command: &[u8]) -> bool {
    command.get(6..10) == Some(&NV_READ.to_be_bytes())
        && command.get(14..18) == Some(&REPORT.to_be_bytes())
        && command.ends_with(&[0, 0])
}

pub(crate) fn port_of(tpm: &Swtpm) -> Result<u16> {
    let tcti = tpm.tcti();
    let port = tcti.rsplit('=').next().context("a port")?;
    Ok(port.parse()?)
}
