//! `exec`.

use crate::place::{Place, supervisor};
use hc_runtime::Phase;
use rustix::pty::OpenptFlags;
use serde_json::json;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn runs_in_the_machine_and_as_confined_as_it() {
    let mut place = Place::new();
    place.start("echo $$ > /tmp/pid; sleep 1000", &json!({"env": {"A": "b"}}), Phase::Ready);
    let script = "hostname; id -u; echo $A; grep -E '^(CapEff|CapBnd|NoNew|Seccomp:)' \
                  /proc/self/status; ls /proc/self/fd | tr '\\n' ' '; \
                  mount -t tmpfs none /tmp || echo refused";
    let done = place.exec(&["sh", "-c", script]);
    assert_eq!(
        text(&done.stdout),
        "web\n0\nb\nCapEff:\t00000000200405fb\nCapBnd:\t00000000200405fb\nNoNewPrivs:\t1\n\
         Seccomp:\t2\n0 1 2 3 refused\n",
        "{}",
        text(&done.stderr)
    );
    let done = place.exec(&["-u", "web", "id"]);
    assert!(text(&done.stdout).starts_with("uid=1000(web) gid=1001(web)"), "{done:?}");
    let done = place.exec(&["cat", "/proc/self/cgroup"]);
    assert!(!text(&done.stdout).contains("hc-test"), "{}", text(&done.stdout));
    let groups = text(&place.exec(&["cat", "/proc/self/cgroup"]).stdout);
    assert_eq!(groups, text(&place.exec(&["cat", "/proc/2/cgroup"]).stdout));
}

#[test]
fn gives_the_status_of_the_program() {
    let mut place = Place::new();
    place.start("sleep 1000", &json!({}), Phase::Ready);
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143)] {
        assert_eq!(place.exec(&["sh", "-c", script]).status.code(), Some(code), "{script}");
    }
    let done = place.exec(&["nothing-like-it"]);
    assert_eq!(done.status.code(), Some(125));
    assert!(text(&done.stderr).contains("command 'nothing-like-it' does not exist in the image"));
    let done = place.exec(&["/etc/broken"]);
    assert!(text(&done.stderr).contains("the interpreter or loader it names"), "{done:?}");
    let done = place.exec(&["-u", "none", "id"]);
    assert!(text(&done.stderr).contains("user 'none' does not exist"), "{done:?}");
    place.signal("TERM");
    place.wait();
    let done = place.exec(&["id"]);
    assert!(text(&done.stderr).contains("machine 'web' is not running"), "{done:?}");
}

#[test]
fn passes_standard_input_and_output() {
    let mut place = Place::new();
    place.start("sleep 1000", &json!({}), Phase::Ready);
    let mut command = Command::new(supervisor());
    command.arg("exec").arg(place.run_dir()).args(["web", "sort"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"b\na\n").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "a\nb\n");
}

#[test]
fn is_killed_with_its_caller() {
    let mut place = Place::new();
    place.start("sleep 1000", &json!({}), Phase::Ready);
    let mut command = Command::new(supervisor());
    command.arg("exec").arg(place.run_dir()).args(["web", "sh", "-c", "echo up; exec sleep 999"]);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut said = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    let runs = || text(&place.exec(&["ps"]).stdout).contains("sleep 999");
    assert!(runs());
    child.kill().unwrap();
    child.wait().unwrap();
    while runs() {}
}

/// Runs `exec -t` on a terminal of ours and types into it.
#[test]
fn a_terminal_has_size_echo_and_job_control() {
    use std::fs::File;
    use std::os::unix::process::CommandExt;
    let mut place = Place::new();
    place.start("sleep 1000", &json!({}), Phase::Ready);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let theirs = File::from(rustix::pty::ioctl_tiocgptpeer(&ours, flags).unwrap());
    let size = rustix::termios::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ours, size).unwrap();
    let before = rustix::termios::tcgetattr(&theirs).unwrap();
    let mut command = Command::new(supervisor());
    command.arg("exec").arg(place.run_dir()).args(["web", "-t", "sh"]);
    for stream in [Command::stdin, Command::stdout, Command::stderr] {
        stream(&mut command, theirs.try_clone().unwrap());
    }
    // SAFETY: two system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
        });
    }
    let mut child = command.spawn().unwrap();
    let (mut ours, mut seen) = (File::from(ours), String::new());
    let mut read_until = |ours: &mut File, what: &str| {
        let from = seen.len();
        while !seen[from..].contains(what) {
            let mut bytes = [0; 1024];
            let length = ours.read(&mut bytes).unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        seen.clone()
    };
    read_until(&mut ours, "# ");
    ours.write_all(b"stty size; tty; echo T$((1+1))T\n").unwrap();
    let said = read_until(&mut ours, "T2T\r\n");
    assert!(said.contains("33 77\r\n") && said.contains("/dev/pts/0"), "{said}");
    let larger = rustix::termios::Winsize { ws_row: 50, ..size };
    rustix::termios::tcsetwinsize(&ours, larger).unwrap();
    let pid = child.id().to_string();
    Command::new("kill").args(["-s", "WINCH", &pid]).status().unwrap();
    ours.write_all(b"until test \"$(stty size)\" = '50 77'; do :; done; echo S$((2+2))S\n")
        .unwrap();
    read_until(&mut ours, "S4S\r\n");
    // ^C reaches what runs in the foreground, not the caller.
    ours.write_all(b"sh -c 'echo R$((3+3))R; exec sleep 1000'\n").unwrap();
    read_until(&mut ours, "R6R\r\n");
    ours.write_all(b"\x03").unwrap();
    read_until(&mut ours, "# ");
    ours.write_all(b"exit 9\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let after = rustix::termios::tcgetattr(&theirs).unwrap();
    assert_eq!(after.local_modes, before.local_modes, "the terminal is as it was");
    assert_eq!(after.input_modes, before.input_modes);
}
