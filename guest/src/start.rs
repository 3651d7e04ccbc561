//! Entry point, allocator and what the compiler takes for granted, for a program without a library
//! below it. Compiled by hc-image's build script alone.
#![no_std]
#![no_main]

extern crate alloc;

pub mod account;
pub mod agent;
pub mod ask;
pub mod boot;
pub mod heap;
pub mod identity;
pub mod modules;
pub mod mounts;
pub mod netlink;
pub mod network;
pub mod payload;
pub mod root;
pub mod superblock;
pub mod sys;
pub mod tar;
pub mod wire;
pub mod words;

// The kernel enters with the stack pointer at `argc`, aligned to 16; a function expects a return
// address above that.
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "call {main}",
    "ud2",
    main = sym main,
);

extern "C" fn main(stack: usize) -> ! {
    sys::process::remember_name(stack);
    boot::main()
}

#[global_allocator]
static ALLOCATOR: heap::Heap = heap::Heap::new();

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if sys::process::id() == 1 {
        boot::give_up(&alloc::format!("{info}"))
    }
    sys::say(&alloc::format!("hc: {info}\n"));
    sys::exit(101)
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
    "sub eax, ecx",
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
