//! Ordinary memory between two instructions.
//!
//! A sample sees what stays for a while. Here a thread looks for itself while it works: outside
//! the door after each instruction, and behind it, where that would take minutes, after each that
//! writes to its stack or its heap. The heap is closed to writes all the while, the stack behind
//! the door:
//!
//! ```text
//!   outside the door   SIGTRAP after each instruction: look
//!        |                the stack pointer is in the arena: close, and trap no more
//!   behind the door    SIGSEGV: open; SIGTRAP after the instruction: look, close
//!        |                the stack pointer is outside: leave the stack open, and trap on
//!   outside the door   ...
//! ```

use crate::needles::Needles;
use crate::scan::{Finding, mapping_around};
use nitride_secmem::{arena_ranges, block_signals_on_this_thread};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

/// How far the frames of an operation reach outside the arenas.
const STACK_LEN: usize = 64 * 1024;
const LONGEST_HEAP: usize = 8 << 20;
/// At multiples of which the C library begins the heaps of threads.
const HEAP_ALIGNMENT: usize = 64 << 20;
const PAGE_LEN: usize = 4096;
/// Bytes that are searched, with what is around them, when one of them has changed.
const LINE_LEN: usize = 64;
/// Findings of which more is told than that there are so many: nothing allocates in a handler.
const MOST_FINDINGS: usize = 64;
/// Has the processor trap after each instruction.
const TRAP_FLAG: i64 = 0x100;
/// An instruction that repeats itself traps each time.
const DIRECTION_FLAG: i64 = 0x400;
const REP_STOSB: [u8; 2] = [0xf3, 0xaa];

/// What was seen of some work.
pub(crate) struct Seen {
    /// How often it was looked.
    pub(crate) instants: usize,
    /// How often after a write from behind the door.
    pub(crate) behind: usize,
    pub(crate) findings: Vec<Finding>,
}

/// What a handler needs. None of it lies where the thread that works writes.
struct Watch<'n> {
    needles: &'n Needles,
    arenas: Vec<(usize, usize)>,
    regions: [Region; 2],
    instants: usize,
    behind: usize,
    /// Needle, region and address.
    findings: Vec<(&'n str, &'static str, usize)>,
}

/// Whole pages of ordinary memory, and what was in them when they were looked at last.
struct Region {
    name: &'static str,
    start: usize,
    known: Vec<u8>,
    /// To writes, so that what is known is what is there.
    is_closed: bool,
}

/// As the kernel saves them for a handler.
type Registers = [i64; 23];

/// Of the one thread that looks.
static WATCH: AtomicPtr<Watch<'static>> = AtomicPtr::new(ptr::null_mut());

/// Does `work` on a thread of its own, and looks at its stack and its heap all the while.
pub(crate) fn between_instructions(needles: &Needles, work: &(dyn Fn() + Sync)) -> Seen {
    let region = |name, longest| Region {
        name,
        start: 0,
        known: Vec::with_capacity(longest),
        is_closed: false,
    };
    let mut watch = Watch {
        needles,
        arenas: arena_ranges(),
        regions: [region("stack", STACK_LEN), region("heap", LONGEST_HEAP)],
        instants: 0,
        behind: 0,
        findings: Vec::with_capacity(MOST_FINDINGS),
    };
    let mut signal_stack = vec![0_u8; 256 * 1024];
    let before = [libc::SIGTRAP, libc::SIGSEGV].map(|signal| (signal, handle(signal)));
    WATCH.store((&raw mut watch).cast(), Ordering::SeqCst);
    let ended = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // No system call is to write to the stack while it is closed.
            block_signals_on_this_thread();
            take_signals_on(&mut signal_stack);
            // What is made once for a process or a thread, is made here.
            work();
            below_a_boundary(|boundary| {
                let looking = Looking::from(boundary);
                work();
                drop(looking);
            });
        });
        worker.join()
    });
    WATCH.store(ptr::null_mut(), Ordering::SeqCst);
    for (signal, action) in &before {
        // SAFETY: the action is the one that was set before.
        let restored = unsafe { libc::sigaction(*signal, action, ptr::null_mut()) };
        assert_eq!(restored, 0);
    }
    ended.unwrap();
    let findings = watch.findings.iter();
    Seen {
        instants: watch.instants,
        behind: watch.behind,
        findings: findings
            .map(|(needle, region, address)| Finding {
                needle: (*needle).to_owned(),
                address: *address,
                mapping: (*region).to_owned(),
            })
            .collect(),
    }
}

/// Gives `work` the start of a page that all its frames are below.
#[inline(never)]
fn below_a_boundary(work: impl FnOnce(usize)) {
    let mut pages = [0_u8; 2 * PAGE_LEN];
    work(pages.as_ptr().addr().next_multiple_of(PAGE_LEN));
    std::hint::black_box(&mut pages);
}

/// The heap that has the address. To the kernel it is one with a mapping that ends where it begins,
/// which is somebody else's.
fn heap_of(address: usize) -> Range<usize> {
    let mapping = mapping_around(address).unwrap();
    let boundary = address - address % HEAP_ALIGNMENT;
    mapping.start.max(boundary)..mapping.end
}

/// While there is one, this thread looks.
struct Looking;

impl Looking {
    fn from(boundary: usize) -> Self {
        // SAFETY: the watch outlives this thread and is its alone; no handler runs yet.
        unsafe { (*WATCH.load(Ordering::SeqCst)).begin(boundary) };
        trap(true);
        Self
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        trap(false);
        // SAFETY: as above; no handler runs any more.
        unsafe { (*WATCH.load(Ordering::SeqCst)).end() };
    }
}

fn trap(does: bool) {
    // SAFETY: changes one flag, of which the compiler knows nothing.
    unsafe {
        if does {
            std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq");
        } else {
            std::arch::asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq");
        }
    }
}

impl Watch<'_> {
    fn begin(&mut self, boundary: usize) {
        // Longer than what a thread keeps of others' heaps when it frees that.
        let on_the_heap = Vec::<u8>::with_capacity(PAGE_LEN);
        let heap = heap_of(on_the_heap.as_ptr().addr());
        assert!(heap.len() <= LONGEST_HEAP);
        let [on_stack, on_heap] = &mut self.regions;
        on_stack.begin(boundary - STACK_LEN..boundary);
        on_heap.begin(heap);
        // A handler writes to these.
        for region in &self.regions {
            for place in [
                ptr::from_ref(self).addr(),
                self.findings.as_ptr().addr(),
                self.regions[0].known.as_ptr().addr(),
                self.regions[1].known.as_ptr().addr(),
            ] {
                assert!(!region.range().contains(&place), "looks at itself");
            }
        }
    }

    fn end(&mut self) {
        for region in &mut self.regions {
            region.close(false);
        }
    }

    /// After an instruction.
    fn look(&mut self) {
        self.instants += 1;
        let (needles, findings) = (self.needles, &mut self.findings);
        for region in &mut self.regions {
            let name = region.name;
            region.look(needles, |needle, address| {
                if findings.len() < MOST_FINDINGS {
                    findings.push((needle, name, address));
                }
            });
        }
    }

    fn is_in_arena(&self, address: usize) -> bool {
        let mut arenas = self.arenas.iter();
        arenas.any(|(start, len)| (*start..start + len).contains(&address))
    }

    /// Opens what was closed to a write at this address; tells whether anything was.
    fn open(&mut self, address: usize) -> bool {
        let mut regions = self.regions.iter_mut();
        let closed = regions.find(|region| region.is_closed && region.range().contains(&address));
        closed.map(|region| region.close(false)).is_some()
    }
}

impl Region {
    fn begin(&mut self, range: Range<usize>) {
        self.start = range.start;
        self.known.resize(range.len(), 0);
        for line in (0..range.len()).step_by(LINE_LEN) {
            self.learn(line);
        }
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + self.known.len()
    }

    fn close(&mut self, is_closed: bool) {
        let protection = match is_closed {
            true => libc::PROT_READ,
            false => libc::PROT_READ | libc::PROT_WRITE,
        };
        let start = ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: whole pages of this thread's stack or heap, which stay where they are. Nobody
        // writes there while they are closed but this thread, and that is handled.
        if unsafe { libc::mprotect(start, self.known.len(), protection) } != 0 {
            std::process::abort();
        }
        self.is_closed = is_closed;
    }

    /// Tells of the needles in and around what has changed, with their addresses.
    fn look<'n>(&mut self, needles: &'n Needles, mut found: impl FnMut(&'n str, usize)) {
        let around = needles.longest() - 1;
        if self.is_closed {
            return;
        }
        for page in (0..self.known.len()).step_by(PAGE_LEN) {
            if self.is_known(page, PAGE_LEN) {
                continue;
            }
            for line in (page..page + PAGE_LEN).step_by(LINE_LEN) {
                if self.is_known(line, LINE_LEN) {
                    continue;
                }
                self.learn(line);
                let from = line.saturating_sub(around);
                let to = (line + LINE_LEN + around).min(self.known.len());
                needles.find(&self.known[from..to], |needle, offset| {
                    found(&needle.name, self.start + from + offset);
                });
            }
        }
    }

    fn learn(&mut self, line: usize) {
        let from = ptr::with_exposed_provenance::<u8>(self.start + line);
        let to = &mut self.known[line..line + LINE_LEN];
        // SAFETY: both are that long and readable, and the one is no part of the other, see
        // `begin`. This thread alone writes to the former, and does not now.
        unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
    }

    fn is_known(&self, at: usize, len: usize) -> bool {
        let now = ptr::with_exposed_provenance::<c_void>(self.start + at);
        let known = self.known[at..at + len].as_ptr().cast();
        // SAFETY: as in `learn`.
        unsafe { libc::memcmp(now, known, len) == 0 }
    }
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the watch is this thread's alone while it is there (the one that made it waits for this
    // one's end, and nobody else has it), and the kernel gives the other
    // two, of which the context is ours to change until the handler returns.
    let (watch, address, registers) = unsafe {
        (
            WATCH.load(Ordering::SeqCst).as_mut(),
            (*info).si_addr().addr(),
            &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs,
        )
    };
    let Some(watch) = watch else { return };
    if signal == libc::SIGTRAP {
        watch.look();
    } else if !watch.open(address) {
        // Some other fault: it ends the process when it comes again.
        // SAFETY: sets what is there by default.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    let is_behind = watch.is_in_arena(read(registers, libc::REG_RSP));
    if signal == libc::SIGSEGV {
        registers[index(libc::REG_EFL)] |= TRAP_FLAG;
        return;
    }
    let [on_stack, on_heap] = &mut watch.regions;
    if !on_heap.is_closed {
        on_heap.close(true);
    }
    if is_behind {
        watch.behind += 1;
        on_stack.close(true);
        registers[index(libc::REG_EFL)] &= !TRAP_FLAG;
    } else {
        store_at_once(registers, |address| watch.is_in_arena(address));
    }
}

/// Does all of a `rep stosb` into an arena but the last byte: stacks are wiped by that.
fn store_at_once(registers: &mut Registers, is_in_arena: impl Fn(usize) -> bool) {
    let next = ptr::with_exposed_provenance::<[u8; 2]>(read(registers, libc::REG_RIP));
    let count = read(registers, libc::REG_RCX).saturating_sub(1);
    let to = read(registers, libc::REG_RDI);
    let is_upwards = registers[index(libc::REG_EFL)] & DIRECTION_FLAG == 0;
    // SAFETY: an instruction that is about to run, of which none here is the last byte mapped.
    let is_store = is_upwards && unsafe { next.read_unaligned() } == REP_STOSB;
    if count == 0 || !is_store || !is_in_arena(to) || !is_in_arena(to + count) {
        return;
    }
    let [value, ..] = registers[index(libc::REG_RAX)].to_le_bytes();
    let to = ptr::with_exposed_provenance_mut::<u8>(to);
    // SAFETY: what the instruction would do, which begins and ends in the arena.
    unsafe { to.write_bytes(value, count) };
    let count = i64::try_from(count).unwrap();
    registers[index(libc::REG_RCX)] -= count;
    registers[index(libc::REG_RDI)] += count;
}

fn index(register: libc::c_int) -> usize {
    usize::try_from(register).unwrap()
}

fn read(registers: &Registers, register: libc::c_int) -> usize {
    usize::try_from(registers[index(register)].cast_unsigned()).unwrap()
}

/// Has the signal handled here; gives what was done before.
fn handle(signal: libc::c_int) -> libc::sigaction {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    // SAFETY: actions are zeroed, which is a valid one, and the first one is filled in.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        let mut before = action;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
        assert_eq!(
            libc::sigaction(signal, &raw const action, &raw mut before),
            0
        );
        before
    }
}

/// For good: what was set for this thread is freed by whom it belongs to.
fn take_signals_on(stack: &mut [u8]) {
    let stack = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: stack.len(),
    };
    // SAFETY: the bytes outlive the thread and nobody else uses them.
    let taken = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
    assert_eq!(taken, 0);
}
