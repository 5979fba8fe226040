//! The first state of each virtual processor (VMSA), which the hypervisor writes and which is
//! measured. Offsets are AMD 24593's (appendix B, table B-4, "VMSA Layout"), values those
//! after a reset as each hypervisor writes them.

use super::launch_digest::LaunchDigest;
use super::{SnpFault, SnpLaunch};
use crate::digest::sha384;
use crate::firmware::PAGE_LEN;

/// More than a machine has.
pub const MAX_VCPUS: u32 = 4096;

/// Where the first processor starts: the reset vector.
const FIRST_STARTS_AT: u32 = 0xffff_fff0;
/// How long a segment is in the state.
const SEGMENT_LEN: usize = 16;

/// Who launches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    /// QEMU with KVM.
    Qemu,
    /// Amazon's.
    Ec2,
}

/// Family, model and stepping of each model that QEMU has; a version after `-v` changes none.
const MODELS: &[(&str, [u32; 3])] = &[
    ("EPYC", [23, 1, 2]),
    ("EPYC-IBPB", [23, 1, 2]),
    ("EPYC-Rome", [23, 49, 0]),
    ("EPYC-Milan", [25, 1, 1]),
    ("EPYC-Genoa", [25, 17, 0]),
    ("EPYC-Turin", [26, 0, 0]),
];

/// A model of processor, by QEMU's name for it, such as `EPYC-Milan-v2`. The digest has its family,
/// model and stepping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VcpuType {
    /// As CPUID Fn0000_0001 EAX has them (AMD 25481).
    signature: u32,
}

impl VcpuType {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// A name that QEMU does not have, or not for AMD.
    pub fn parse(name: &str) -> Result<Self, SnpFault> {
        let model = match name.rsplit_once("-v") {
            Some((model, version)) if is_number(version) => model,
            _ => name,
        };
        let known = MODELS.iter().find(|(known, _)| *known == model);
        known
            .map(|(_, numbers)| Self::of(*numbers))
            .ok_or_else(|| SnpFault::VcpuType(name.to_owned()))
    }

    /// Families above 15 are written as 15 and the rest, models in two halves.
    fn of([family, model, stepping]: [u32; 3]) -> Self {
        let extended_family = family - 0xf;
        let (high, low) = (model >> 4, model & 0xf);
        Self {
            signature: (extended_family << 20) | (high << 16) | 0xf00 | (low << 4) | stepping,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Adds them: the first processor starts at the reset vector, all others where the firmware says.
pub(super) fn add_states(
    digest: &mut LaunchDigest,
    launch: &SnpLaunch<'_>,
    reset_address: u32,
) -> Result<(), SnpFault> {
    let count = launch.vcpus;
    if count == 0 || count > MAX_VCPUS {
        return Err(SnpFault::Vcpus(count));
    }
    if reset_address == 0 {
        return Err(SnpFault::NoResetBlock);
    }
    digest.vcpu_state(&sha384(&state(launch, FIRST_STARTS_AT)));
    let other = sha384(&state(launch, reset_address));
    for _ in 1..count {
        digest.vcpu_state(&other);
    }
    Ok(())
}

/// The page of a processor that starts at an address.
fn state(launch: &SnpLaunch<'_>, starts_at: u32) -> Vec<u8> {
    let is_first = starts_at == FIRST_STARTS_AT;
    let (code, stack, task) = match launch.hypervisor {
        Hypervisor::Qemu => (0x9b, 0x93, 0x8b),
        Hypervisor::Ec2 if is_first => (0x9a, 0x92, 0x83),
        Hypervisor::Ec2 => (0x9b, 0x92, 0x83),
    };
    let (rdx, mxcsr, x87_control) = match launch.hypervisor {
        Hypervisor::Qemu => (launch.vcpu_type.signature, 0x1f80, 0x37f),
        Hypervisor::Ec2 => (0, 0, 0),
    };
    let base = starts_at & 0xffff_0000;
    // ES, CS, SS, DS, FS, GS, GDTR, LDTR, IDTR, TR: selector, attributes, base.
    let segments: [(u16, u16, u32); 10] = [
        (0, 0x93, 0),
        (0xf000, code, base),
        (0, stack, 0),
        (0, 0x93, 0),
        (0, 0x93, 0),
        (0, 0x93, 0),
        (0, 0, 0),
        (0, 0x82, 0),
        (0, 0, 0),
        (0, task, 0),
    ];
    let mut page = Page(vec![0; PAGE_LEN]);
    for (index, (selector, attributes, base)) in segments.into_iter().enumerate() {
        let at = index * SEGMENT_LEN;
        page.put(at, &selector.to_le_bytes());
        page.put(at + 2, &attributes.to_le_bytes());
        page.put(at + 4, &0xffff_u32.to_le_bytes());
        page.put(at + 8, &u64::from(base).to_le_bytes());
    }
    // EFER, CR4, CR0, DR7, DR6, RFLAGS, RIP, G_PAT, RDX, SEV_FEATURES, XCR0.
    let registers: [(usize, u64); 11] = [
        (0xd0, 0x1000),
        (0x148, 0x40),
        (0x158, 0x10),
        (0x160, 0x400),
        (0x168, 0xffff_0ff0),
        (0x170, 0x2),
        (0x178, u64::from(starts_at & 0xffff)),
        (0x268, 0x0007_0406_0007_0406),
        (0x310, u64::from(rdx)),
        (0x3b0, launch.guest_features),
        (0x3e8, 1),
    ];
    for (at, value) in registers {
        page.put(at, &value.to_le_bytes());
    }
    page.put(0x408, &u32::to_le_bytes(mxcsr));
    page.put(0x410, &u16::to_le_bytes(x87_control));
    page.0
}

struct Page(Vec<u8>);

impl Page {
    /// All offsets are in the page.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}
