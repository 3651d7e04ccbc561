//! The kernel modules that the initrd was packed with.

use crate::sys;
use alloc::format;
use alloc::string::String;

/// Where they lie, and the list of them: one name a line, in the order in which they are loaded;
/// one after a `-` may fail, as a faster version of something does on the wrong processor.
pub const DIRECTORY: &str = "/hc/modules";
/// As above.
pub const LIST: &str = "/hc/modules.list";

/// Loads every module of the list, and removes it: the initrd's memory is the machine's.
///
/// # Errors
/// Which one could not be loaded, and what the kernel said.
pub fn load() -> Result<(), String> {
    let list = match sys::read(LIST) {
        Ok(list) => list,
        Err(sys::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(format!("cannot read {LIST}: {error}")),
    };
    for line in String::from_utf8_lossy(&list).lines() {
        let (name, may_fail) = entry(line);
        let path = format!("{DIRECTORY}/{name}");
        let loaded = sys::open(&path, sys::READ).and_then(|file| sys::load_module(&file));
        match loaded {
            Ok(()) | Err(sys::Errno::EXIST) => {}
            Err(_) if may_fail => {}
            Err(error) => return Err(format!("cannot load the module {name}: {error}")),
        }
        let _ = sys::unlink(&path);
    }
    let _ = sys::unlink(LIST);
    Ok(())
}

fn entry(line: &str) -> (&str, bool) {
    line.strip_prefix('-').map_or((line, false), |name| (name, true))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_dash_says_that_it_may_fail() {
        assert_eq!(super::entry("virtio.ko"), ("virtio.ko", false));
        assert_eq!(super::entry("-crc32c-intel.ko"), ("crc32c-intel.ko", true));
    }
}
