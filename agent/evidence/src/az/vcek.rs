//! Whether a certificate says that it is of a report's chip and TCB. It is looked at, and not verified:
//! that is for whoever gets the evidence.

use std::ops::Range;

/// In a report of SEV-SNP (AMD 56860, table 23).
const CHIP_ID: Range<usize> = 0x1a0..0x1e0;
const REPORTED_TCB: Range<usize> = 0x180..0x188;
/// AMD's extensions (AMD 57230, section 3): 1.3.6.1.4.1.3704.1 in DER, and what follows it.
const ARC: [u8; 8] = [0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1];
const HARDWARE_ID: &[u8] = &[4];
const BOOTLOADER: &[u8] = &[3, 1];
const TEE: &[u8] = &[3, 2];
const SNP: &[u8] = &[3, 3];
const MICROCODE: &[u8] = &[3, 8];
/// Turin's alone.
const FMC: &[u8] = &[3, 9];

/// Whether `certificate` names the chip and the reported TCB of `report`.
pub(super) fn is_of(certificate: &[u8], report: &[u8]) -> bool {
    let (Some(chip), Some(tcb)) = (report.get(CHIP_ID), report.get(REPORTED_TCB)) else {
        return false;
    };
    let Some(id) = extension(certificate, HARDWARE_ID) else {
        return false;
    };
    // Turin's ids have eight bytes, and zeros after them in a report.
    let is_chips = !id.is_empty()
        && chip
            .strip_prefix(id)
            .is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    let components: &[(&[u8], usize)] = match extension(certificate, FMC) {
        None => &[(BOOTLOADER, 0), (TEE, 1), (SNP, 6), (MICROCODE, 7)],
        Some(_) => &[
            (FMC, 0),
            (BOOTLOADER, 1),
            (TEE, 2),
            (SNP, 3),
            (MICROCODE, 7),
        ],
    };
    let mut components = components.iter();
    is_chips
        && components.all(|(arc, at)| {
            let stated = extension(certificate, arc).and_then(number);
            stated.is_some() && stated == tcb.get(*at).copied()
        })
}

/// The value of the extension below [`ARC`], found by its bytes.
fn extension<'c>(certificate: &'c [u8], arc: &[u8]) -> Option<&'c [u8]> {
    let len = u8::try_from(ARC.len() + arc.len()).ok()?;
    let oid = [&[6, len], &ARC[..], arc].concat();
    let at = certificate
        .windows(oid.len())
        .position(|part| part == oid)?;
    let rest = certificate.get(at + oid.len()..)?;
    // `critical`, where it is stated.
    let rest = rest.strip_prefix(&[1, 1, 0xff]).unwrap_or(rest);
    match rest {
        [4, len @ ..=0x7f, rest @ ..] => rest.get(..usize::from(*len)),
        _ => None,
    }
}

/// An INTEGER of at most one byte.
fn number(der: &[u8]) -> Option<u8> {
    match der {
        [2, 1, value @ ..=0x7f] | [2, 2, 0, value @ 0x80..=0xff] => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(arc: &[u8], value: &[u8]) -> Vec<u8> {
        let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let oid = [&ARC[..], arc].concat();
        [&[6, len(&oid)], &oid[..], &[4, len(value)], value].concat()
    }

    fn report(chip: &[u8], tcb: [u8; 8]) -> Vec<u8> {
        let mut report = vec![0; 1184];
        report[CHIP_ID][..chip.len()].copy_from_slice(chip);
        report[REPORTED_TCB].copy_from_slice(&tcb);
        report
    }

    fn milan(id: &[u8]) -> Vec<u8> {
        let components: [(&[u8], &[u8]); 4] = [
            (BOOTLOADER, &[2, 1, 4]),
            (TEE, &[2, 1, 0]),
            (SNP, &[2, 1, 24]),
            (MICROCODE, &[2, 2, 0, 219]),
        ];
        let parts = components.map(|(arc, value)| stated(arc, value));
        [parts.concat(), stated(HARDWARE_ID, id)].concat()
    }

    #[test]
    fn a_certificate_of_another_chip_or_tcb_is_told() {
        let tcb = [4, 0, 0, 0, 0, 0, 24, 219];
        let own = report(&[7; 64], tcb);
        assert!(is_of(&milan(&[7; 64]), &own));
        for other in [
            milan(&[8; 64]),
            milan(&[7; 63]),
            milan(&[]),
            milan(&[7; 64])[..60].to_vec(),
            Vec::new(),
        ] {
            assert!(!is_of(&other, &own));
        }
        for at in [0, 1, 6, 7] {
            let mut tcb = tcb;
            tcb[at] ^= 1;
            assert!(!is_of(&milan(&[7; 64]), &report(&[7; 64], tcb)), "{at}");
        }
        assert!(!is_of(&milan(&[7; 64]), &own[..0x1a0]));
    }

    #[test]
    fn turins_ids_are_short_and_its_tcbs_have_another_order() {
        let components: [(&[u8], &[u8]); 5] = [
            (FMC, &[2, 1, 1]),
            (BOOTLOADER, &[2, 1, 2]),
            (TEE, &[2, 1, 3]),
            (SNP, &[2, 1, 4]),
            (MICROCODE, &[2, 1, 5]),
        ];
        let parts = components.map(|(arc, value)| stated(arc, value));
        let turin = [parts.concat(), stated(HARDWARE_ID, &[7; 8])].concat();
        let tcb = [1, 2, 3, 4, 0, 0, 0, 5];
        assert!(is_of(&turin, &report(&[7; 8], tcb)));
        assert!(!is_of(&turin, &report(&[7; 9], tcb)));
        assert!(!is_of(&turin, &report(&[7; 8], [2, 3, 0, 0, 0, 0, 4, 5])));
    }
}
