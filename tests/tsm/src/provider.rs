//! What plays the hardware: reports and quotes with everything in its place and no signature.

use anyhow::{Result, ensure};
use nix::errno::Errno;
use std::fmt;
use std::sync::Arc;

/// Which hardware is played.
#[derive(Clone, Debug)]
pub enum Provider {
    /// SEV-SNP, for guests at this VMPL and above, with this table of certificates.
    Snp {
        /// The least VMPL that a report is given of.
        floor: u32,
        /// As the host hands it over.
        table: Vec<u8>,
    },
    /// TDX, with quotes of this version.
    Tdx {
        /// 4 or 5.
        version: u8,
    },
    /// Hardware that somebody else makes reports for.
    Signed(Signer),
    /// No hardware behind the folder.
    Absent,
}

/// Report or quote over the data, and what goes with it.
type Sign = dyn Fn(&[u8; 64]) -> Option<(Vec<u8>, Vec<u8>)> + Send + Sync;

/// Makes reports, under a test PKI.
#[derive(Clone)]
pub struct Signer {
    is_snp: bool,
    sign: Arc<Sign>,
}

impl Signer {
    /// For SEV-SNP: report and table of certificates, at VMPL 0.
    pub fn snp(
        sign: impl Fn(&[u8; 64]) -> Option<(Vec<u8>, Vec<u8>)> + Send + Sync + 'static,
    ) -> Self {
        let sign = Arc::new(sign);
        Self { is_snp: true, sign }
    }

    /// For TDX: a quote.
    pub fn tdx(sign: impl Fn(&[u8; 64]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self {
            is_snp: false,
            sign: Arc::new(move |data| Some((sign(data)?, Vec::new()))),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signer {{ is_snp: {} }}", self.is_snp)
    }
}

/// Report or quote, and what goes with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blobs {
    pub(crate) outblob: Vec<u8>,
    pub(crate) auxblob: Vec<u8>,
}

impl Provider {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Snp { .. } | Self::Signed(Signer { is_snp: true, .. }) => "sev_guest",
            Self::Tdx { .. } | Self::Signed(_) => "tdx_guest",
            Self::Absent => "none",
        }
    }

    /// The least `privlevel`, where there are any.
    pub(crate) fn floor(&self) -> Option<u32> {
        match self {
            Self::Snp { floor, .. } => Some(*floor),
            Self::Signed(Signer { is_snp: true, .. }) => Some(0),
            _ => None,
        }
    }

    /// Both take 64 bytes and nothing else.
    pub(crate) fn blobs(&self, inblob: &[u8], privlevel: u32) -> Result<Blobs, Errno> {
        let data: &[u8; 64] = inblob.try_into().map_err(|_| Errno::EINVAL)?;
        match self {
            Self::Snp { table, .. } => Ok(Blobs {
                outblob: snp_report(data, privlevel),
                auxblob: table.clone(),
            }),
            Self::Tdx { version } => Ok(Blobs {
                outblob: tdx_quote(data, *version),
                auxblob: Vec::new(),
            }),
            Self::Signed(signer) => {
                let (outblob, auxblob) = (signer.sign)(data).ok_or(Errno::EIO)?;
                Ok(Blobs { outblob, auxblob })
            }
            Self::Absent => Err(Errno::ENXIO),
        }
    }
}

/// A report of version 3 on Genoa (AMD 56860, table 23).
#[must_use]
pub fn snp_report(data: &[u8; 64], vmpl: u32) -> Vec<u8> {
    let mut report = vec![0; 1184];
    let mut put = |at: usize, bytes: &[u8]| report[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &3_u32.to_le_bytes());
    put(0x08, &0x3_0000_u64.to_le_bytes());
    put(0x30, &vmpl.to_le_bytes());
    put(0x34, &1_u32.to_le_bytes());
    put(0x50, data);
    put(0x90, &[0x5e; 48]);
    put(0x160, &[0xff; 32]);
    for tcb in [0x38, 0x180, 0x1e0, 0x1f0] {
        put(tcb, &[4, 0, 0, 0, 0, 0, 0x18, 0xdb]);
    }
    put(0x188, &[0x19, 0x11, 0x01]);
    put(0x1a0, &[0xc1; 64]);
    report
}

/// A quote of TD 1.0, or of TD 1.5 in version 5.
#[must_use]
pub fn tdx_quote(data: &[u8; 64], version: u8) -> Vec<u8> {
    let (descriptor, body_len): (&[u8], usize) = match version {
        5 => (&[3, 0, 0x88, 2, 0, 0], 648),
        _ => (&[], 584),
    };
    let mut quote = vec![version, 0, 2, 0, 0x81, 0, 0, 0];
    quote.resize(48, 0);
    quote.extend(descriptor);
    let body_at = quote.len();
    quote.resize(body_at + body_len, 0);
    quote[body_at + 520..body_at + 584].copy_from_slice(data);
    quote.extend([0; 4]);
    quote
}

/// A table of certificates, by the kinds' GUIDs in RFC 4122's order of bytes.
///
/// # Errors
/// When a certificate is too long for it.
pub fn table(certificates: &[([u8; 16], &[u8])]) -> Result<Vec<u8>> {
    let mut table = Vec::new();
    let mut at = (certificates.len() + 1) * 24;
    for (guid, data) in certificates {
        table.extend(guid);
        table.extend(u32::try_from(at)?.to_le_bytes());
        table.extend(u32::try_from(data.len())?.to_le_bytes());
        at += data.len();
    }
    table.extend([0; 24]);
    table.extend(certificates.iter().flat_map(|(_, data)| *data));
    ensure!(table.len() == at);
    Ok(table)
}

/// The GUID of a VCEK.
pub const VCEK: [u8; 16] = [
    0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
];

/// The GUID of an ARK.
pub const ARK: [u8; 16] = [
    0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae,
];

/// The GUID of a VLEK.
pub const VLEK: [u8; 16] = [
    0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1,
];

/// The GUID of an ASK.
pub const ASK: [u8; 16] = [
    0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82,
];
