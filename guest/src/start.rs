//! Entry point, allocator and what the compiler takes for granted, for a program without a library
//! below it. Compiled by hc-image's build script alone.
#![no_std]
#![no_main]

extern crate alloc;

pub mod boot;
pub mod modules;
pub mod payload;
pub mod root;
pub mod superblock;
pub mod sys;
pub mod words;

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

// The kernel enters with the stack pointer at `argc`, aligned to 16; a function expects a return
// address above that.
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "call {main}",
    "ud2",
    main = sym main,
);

extern "C" fn main() -> ! {
    boot::main()
}

/// Memory is taken and never given back: the program allocates a few hundred kilobytes, and then
/// becomes another one or waits.
struct Bump;

const ROOM: usize = 4 << 20;

#[repr(align(16))]
struct Heap(core::cell::UnsafeCell<[u8; ROOM]>);

// SAFETY: there is one thread, and every byte is handed out once.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap(core::cell::UnsafeCell::new([0; ROOM]));
static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: blocks are aligned, within the heap and do not overlap.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = USED.load(Ordering::Relaxed).next_multiple_of(layout.align());
        let Some(end) = start.checked_add(layout.size()).filter(|end| *end <= ROOM) else {
            return core::ptr::null_mut();
        };
        USED.store(end, Ordering::Relaxed);
        // SAFETY: `start` is within the heap.
        unsafe { HEAP.0.get().cast::<u8>().add(start) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    boot::give_up(&alloc::format!("{info}"))
}

// The compiler calls these by name; a C library would have them.
core::arch::global_asm!(
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memmove",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "cmp rdi, rsi",
    "jbe 1f",
    "lea rdi, [rdi + rcx - 1]",
    "lea rsi, [rsi + rcx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "1: rep movsb",
    "ret",
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    ".globl bcmp",
    "bcmp:",
    ".globl memcmp",
    "memcmp:",
    "xor eax, eax",
    "mov rcx, rdx",
    "test rcx, rcx",
    "jz 2f",
    "repe cmpsb",
    "je 2f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub ecx, eax",
    "mov eax, ecx",
    "2: ret",
);

/// Named by the precompiled `alloc`; nothing unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    sys::exit(127)
}
