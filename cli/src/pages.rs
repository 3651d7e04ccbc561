//! Pages of the program that it no longer needs.

/// Gives back what the start of the program has read of its own code and constants: arguments,
/// settings and help are most of it. What is used again is there again when it is used, from the
/// page cache. Called where something begins that takes memory.
pub fn give_back() {
    // SAFETY: `segments` takes what the C library hands to such a function.
    unsafe { libc::dl_iterate_phdr(Some(segments), std::ptr::null_mut()) };
}

/// Gives back the segments of the program itself, which comes first, that nobody writes to.
unsafe extern "C" fn segments(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16);
    // SAFETY: the C library gives an object with so many headers, valid during this call.
    let headers = unsafe {
        let object = &*object;
        std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum))
    };
    // SAFETY: as above.
    let base = unsafe { (*object).dlpi_addr } as usize;
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = (base + header.p_vaddr as usize).next_multiple_of(page);
        let end = (base + header.p_vaddr as usize + header.p_memsz as usize) / page * page;
        if start < end {
            // SAFETY: these pages are mapped from the program's file and never written to, so that
            // dropping them loses nothing. A failure leaves them where they are.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
    // No other object: libraries are not ours.
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_goes_on() {
        super::give_back();
        assert_eq!("still here".len(), 10);
    }
}
