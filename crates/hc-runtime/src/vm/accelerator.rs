//! What runs a virtual machine's instructions: found out by booting its kernel, not by looking for a
//! device. There are hosts whose `/dev/kvm` opens and whose guests never come up.
//!
//! What was found is kept in `<run>/accelerators/` until the host boots again or QEMU changes.

use super::command::Memory;
use super::spawn::{Plan, Qemu, spawn};
use crate::cgroup::Group;
use crate::error::{Doing, Res};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Ways to run a guest's instructions, the better one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The processor does, through the kernel's KVM.
    Kvm,
    /// QEMU translates them.
    Tcg,
}

/// What was found to work on this host, with one QEMU and one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accelerator {
    /// How.
    pub kind: Kind,
    /// The rate of the host's time-stamp counter in kHz, which a translated guest has too, and without
    /// which it hangs now and then while it finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsc_khz: Option<u64>,
    /// Why nothing better is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<String>,
    /// The kernel or firmware that was tried.
    #[serde(default)]
    pub kernel: PathBuf,
}

/// How long a guest may take until its kernel says a word, with the processor's help: some do not come
/// that far.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// And until its first process runs.
const DEADLINE: Duration = Duration::from_secs(10);
/// What the kernel says then.
const ALIVE: &[u8] = b"Run /init as init process";
/// Nobody: who a guest is tried as.
pub(super) const NOBODY: u32 = 0x0fff_ffff;

impl Accelerator {
    #[cfg(test)]
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, tsc_khz: None, passed_over: None, kernel: PathBuf::new() }
    }

    /// Words that the guest's kernel needs with it. A translated guest's counter is the host's: it is
    /// right, and timer ticks that come late on a busy host are not, by which the kernel would judge it.
    /// Nor does the processor guess ahead by a translated guest's instructions, but by the translator's:
    /// what the kernel does against that protects nothing there, and takes a tenth of its time.
    pub(super) fn words(&self) -> Vec<String> {
        let counter = |khz| [format!("tsc_early_khz={khz}"), "tsc=reliable".into()];
        let counter = self.tsc_khz.map(counter).into_iter().flatten();
        let guesses = (self.kind == Kind::Tcg).then(|| "mitigations=off".into());
        counter.chain(guesses).collect()
    }
}

/// What is known to work, by the kernels that were tried since the host booted.
#[must_use]
pub fn accelerators(run_dir: &Path) -> Vec<Accelerator> {
    let entries = std::fs::read_dir(dir(run_dir)).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| std::fs::read(entry.path()).ok());
    texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect()
}

/// What to run a guest with: as it was found before, or else found out now, which takes seconds
/// where the kernel's KVM is there and does not work. `boots` tries a guest, and gives a sentence on
/// why it does not come up.
pub(super) fn choose(
    run_dir: &Path,
    qemu: &Path,
    kernel: &Path,
    boots: &dyn Fn(&Accelerator) -> Result<(), String>,
) -> Res<Accelerator> {
    let name = name(qemu, kernel)?;
    let dir = dir(run_dir);
    let file = dir.join(&name);
    let known =
        || -> Option<Accelerator> { serde_json::from_slice(&std::fs::read(&file).ok()?).ok() };
    if let Some(known) = known() {
        return Ok(known);
    }
    hc_fs::plain::create_dir_all(&dir, 0o755)?;
    // Of machines that start at once one tries, and the others wait for what it finds.
    let lock = hc_fs::plain::append(&dir.join("lock"), 0o600)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).doing("wait for another machine")?;
    if let Some(known) = known() {
        return Ok(known);
    }
    let found = find(kernel, boots);
    let text = serde_json::to_vec(&found).expect("an accelerator has string keys only");
    hc_fs::plain::replace(&file, &text, 0o644)?;
    Ok(found)
}

fn dir(run_dir: &Path) -> PathBuf {
    run_dir.join("accelerators")
}

/// What an answer is about: this boot, this QEMU, this kernel.
fn name(qemu: &Path, kernel: &Path) -> Res<String> {
    let program = std::fs::metadata(qemu).doing_with(|| format!("look at {}", qemu.display()))?;
    let mut hasher = blake3::Hasher::new();
    for part in [
        crate::status::boot_id().doing("read /proc")?,
        format!("{} {} {}", program.ino(), program.len(), program.mtime()),
        qemu.display().to_string(),
        kernel.display().to_string(),
    ] {
        hasher.update(part.as_bytes()).update(b"\0");
    }
    Ok(format!("{}.json", &hasher.finalize().to_hex()[..32]))
}

fn find(kernel: &Path, boots: &dyn Fn(&Accelerator) -> Result<(), String>) -> Accelerator {
    let kvm = Accelerator {
        kind: Kind::Kvm,
        tsc_khz: None,
        passed_over: None,
        kernel: kernel.to_path_buf(),
    };
    let device = OFlags::RDWR | OFlags::CLOEXEC;
    let opened = rustix::fs::open("/dev/kvm", device, Mode::empty());
    let opened = opened.map_err(|error| format!("/dev/kvm: {}", std::io::Error::from(error)));
    match opened.and_then(|_| boots(&kvm)) {
        Ok(()) => kvm,
        Err(why) => Accelerator {
            kind: Kind::Tcg,
            tsc_khz: tsc_khz(),
            passed_over: Some(format!("KVM: {why}")),
            ..kvm
        },
    }
}

/// Whether a microVM's guest comes up; a sentence on why not.
pub(super) fn boots(
    with: &Accelerator,
    qemu: &Path,
    kernel: &Path,
    initrd: &Path,
) -> Result<(), String> {
    // It finds no root and gives up; by then it has said what is waited for.
    let words =
        ["earlyprintk=ttyS0", "console=ttyS0", "panic=-1", "root=serial:none"].map(String::from);
    let plan = Plan {
        qemu,
        accelerator: with,
        kernel: kernel.into(),
        initrd: initrd.into(),
        rootfs: None,
        layer: None,
        volumes: Vec::new(),
        taps: Vec::new(),
        size: 256 << 20,
        memory: Memory::Plain,
        ram: None,
        vcpus: 1,
        words: &words,
        id: NOBODY,
    };
    boots_to(|| spawn(&plan, &Group::default()), ALIVE)
}

/// Whether `alive` is heard in time on the console of a computer that is turned on; a sentence on why
/// not.
pub(super) fn boots_to(on: impl FnOnce() -> Res<Qemu>, alive: &[u8]) -> Result<(), String> {
    let mut tried = on().map_err(|problem| problem.to_string())?;
    let (began, mut console, mut complaint) = (Instant::now(), Vec::new(), Vec::new());
    while tried.console.is_open() {
        let longest = if console.is_empty() { FIRST_WORD } else { DEADLINE };
        let left = longest.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(format!("a guest did not come up in {} s", longest.as_secs()));
        }
        let mut wanted =
            [PollFd::new(&tried.console, PollFlags::IN), PollFd::new(&tried.said, PollFlags::IN)];
        let wait = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let _ = poll(&mut wanted, Some(&wait));
        console.extend(tried.console.read());
        complaint.extend(tried.said.read());
        if console.windows(alive.len()).any(|window| window == alive) {
            return Ok(());
        }
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let last = complaint.lines().last().unwrap_or("the guest ended before it was up");
    Err(last.trim().to_owned())
}

/// The rate of the time-stamp counter, measured.
fn tsc_khz() -> Option<u64> {
    const LONG: Duration = Duration::from_millis(100);
    let now = || {
        // SAFETY: every x86-64 processor has the instruction, and a kernel that forbids it to
        // programs would have told this one's C library the time in another way.
        (Instant::now(), unsafe { core::arch::x86_64::_rdtsc() })
    };
    let (began, first) = now();
    std::thread::sleep(LONG);
    let (ended, last) = now();
    let took = ended.duration_since(began).as_nanos();
    u64::try_from(u128::from(last.checked_sub(first)?) * 1_000_000 / took).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_runs_at_the_rate_of_a_processor() {
        let khz = tsc_khz().unwrap();
        assert!((100_000..20_000_000).contains(&khz), "{khz}");
        let again = tsc_khz().unwrap();
        assert!(khz.abs_diff(again) < khz / 100, "{khz} and {again}");
    }

    #[test]
    fn what_was_found_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = Path::new("/proc/self/exe");
        let found = Accelerator { tsc_khz: Some(2_000_000), ..Accelerator::of(Kind::Tcg) };
        let file = super::dir(dir.path()).join(name(qemu, Path::new("/k")).unwrap());
        hc_fs::plain::create_dir_all(file.parent().unwrap(), 0o755).unwrap();
        hc_fs::plain::write(&file, &serde_json::to_vec(&found).unwrap(), 0o644).unwrap();
        let chosen = choose(dir.path(), qemu, Path::new("/k"), &|_| panic!("tried again")).unwrap();
        assert_eq!(chosen, found);
        let words = ["tsc_early_khz=2000000", "tsc=reliable", "mitigations=off"];
        assert_eq!(chosen.words(), words);
        assert_eq!(accelerators(dir.path()), [found]);
        assert_ne!(name(qemu, Path::new("/other")).unwrap(), name(qemu, Path::new("/k")).unwrap());
    }
}
