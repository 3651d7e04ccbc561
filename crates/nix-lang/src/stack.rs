//! The native stack: a large one for evaluation, and a check that its end is never reached.

use std::io;

/// Address space reserved for the stack of an evaluation thread; pages are used only when touched.
const STACK_SIZE: usize = 1 << 30;

/// What is kept free for calls that do not check: builtins, formatting, I/O.
const MARGIN: usize = 512 << 10;

/// Run `body` on a thread with a stack large enough for any evaluation the depth limit allows.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn on_big_stack<T: Send>(body: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("nix-eval".to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, body)?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The lowest address that evaluation on this thread may reach.
pub(crate) fn limit() -> usize {
    bounds().map_or_else(|| address().saturating_sub(1 << 20), |low| low + MARGIN)
}

/// Roughly where the stack pointer is. It is read, not taken from the place of a variable: a function
/// with such a variable could not hand over to another one without keeping its own frame.
#[inline(always)]
pub(crate) fn address() -> usize {
    let address: usize;
    // SAFETY: the instruction copies one register into another one and touches nothing else.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let here = 0u8;
        address = std::hint::black_box(&raw const here) as usize;
    }
    address
}

fn bounds() -> Option<usize> {
    // SAFETY: the attribute object is initialised by `pthread_getattr_np` before it is read, and
    // destroyed once afterwards; the pointers given are to locals of the right types.
    unsafe {
        let mut attr = std::mem::MaybeUninit::<libc::pthread_attr_t>::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), attr.as_mut_ptr()) != 0 {
            return None;
        }
        let mut base = std::ptr::null_mut();
        let mut size = 0;
        let found = libc::pthread_attr_getstack(attr.as_ptr(), &raw mut base, &raw mut size);
        libc::pthread_attr_destroy(attr.as_mut_ptr());
        // The guard pages lie inside the size on some systems; the margin is larger than they are.
        (found == 0).then_some(base as usize)
    }
}
