use crate::floor::Bare;
use crate::measure::{Step, in_turns};
use crate::placement::OneCpu;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::{Raw, Vault};
use anyhow::Result;
use nitride_ipc::memory::SharedMemory;
use nitride_protocol::application::{EncryptBuffer, RegisterBuffer, Window};
use nitride_protocol::{KeyName, KeyType};
use std::cell::RefCell;
use std::os::fd::AsFd;

const TURNS: u32 = 30;
const BATCH: u32 = 20;
const LEN: usize = 1 << 20;
/// Room for a megabyte and what is added to it, behind the megabyte.
const SHARED_LEN: u64 = 3 << 20;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let place = OneCpu::bind()?;
    report.placement(place.text());
    let vault = Vault::start()?;
    vault
        .client()?
        .generate("perf/sealing", KeyType::Aes256Gcm, None)?;
    let raw = RefCell::new(Raw::connect(&vault, true)?);
    let mut bare = Bare::new()?;
    let plaintext = vec![2; LEN];
    let (memory, memfd) = SharedMemory::create(SHARED_LEN)?;
    memory.write_at(0, &plaintext)?;
    let register = RegisterBuffer { len: SHARED_LEN };
    let buffer = raw
        .borrow_mut()
        .call(&register, &[memfd.as_fd()], |reply| reply.buffer)?;
    let key = KeyName::parse("perf/sealing")?;
    let asked = |buffer| {
        EncryptBuffer(Window {
            key,
            buffer,
            input_offset: 0,
            input_len: LEN as u64,
            output_offset: LEN as u64,
            aad: b"",
        })
    };
    let steps: &mut [Step<'_>] = &mut [
        &mut || bare.seal(LEN),
        &mut || raw.borrow_mut().call(&asked(Some(buffer)), &[], |_| ()),
        &mut || {
            raw.borrow_mut()
                .call(&asked(None), &[memfd.as_fd()], |_| ())
        },
    ];
    let turns = in_turns(scale.count(TURNS), scale.count(BATCH), steps)?;
    report.figure("1 MiB, bare seal in place", turns.step(0), "us");
    report.figure("1 MiB, registered buffer", turns.step(1), "us");
    report.figure("1 MiB, one-shot memfd", turns.step(2), "us");
    let share = |index: usize| turns.median(|turn| turn[0] / turn[index]);
    let registered = "1 MiB AES-256-GCM by registered buffer / bare throughput";
    report.budget(registered, share(1), Bound::AtLeast(0.60));
    let one_shot = "1 MiB AES-256-GCM by one-shot memfd / bare throughput";
    report.budget(one_shot, share(2), Bound::AtLeast(0.25));
    Ok(())
}
