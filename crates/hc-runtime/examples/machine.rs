//! `machine run CLOSURE --state-dir D --run-dir D [--cgroup-parent P] [--store-root D]`,
//! `machine exec RUN_DIR NAME [-t] [-u USER] ARGV…`, `machine probe`: the library as a process of
//! its own, for tests and measurements.

use hc_runtime::{ExecConfig, NoNetwork, RunConfig};

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("run") => run(arguments),
        Some("exec") => exec(arguments),
        Some("probe") => println!("{:?}", hc_runtime::probe()),
        _ => fail("usage: machine run|exec|probe …"),
    }
}

fn run(mut arguments: impl Iterator<Item = String>) {
    let mut config = RunConfig::new(arguments.next().unwrap_or_default());
    while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
        match option.as_str() {
            "--state-dir" => config.state_dir = value.into(),
            "--run-dir" => config.run_dir = value.into(),
            "--cgroup-parent" => config.cgroup_parent = Some(value.into()),
            "--store-root" => config.store_root = Some(value.into()),
            "--notify" => config.notify = Some(value.into()),
            "--dns" => config.dns.extend(value.parse::<std::net::IpAddr>().ok()),
            _ => fail(&format!("unknown option {option}")),
        }
    }
    match hc_runtime::run(&config, &NoNetwork, &|_| Ok(())) {
        Ok(exit) => std::process::exit(exit.shell_code()),
        Err(error) => fail(&error.to_string()),
    }
}

fn exec(arguments: impl Iterator<Item = String>) {
    let mut words: Vec<String> = arguments.collect();
    if words.len() < 3 {
        fail("usage: machine exec RUN_DIR NAME [-t] [-u USER] ARGV…");
    }
    let mut argv = words.split_off(2);
    let mut config = ExecConfig::new(&words[0], &words[1], Vec::new());
    loop {
        match argv.first().map(String::as_str) {
            Some("-t") => config.tty = true,
            Some("-u") => {
                argv.remove(0);
                config.user = argv.first().cloned();
            }
            _ => break,
        }
        argv.remove(0);
    }
    config.argv = argv;
    match hc_runtime::exec(&config) {
        Ok(code) => std::process::exit(code),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(125)
}
