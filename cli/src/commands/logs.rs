//! `hc logs`: what a machine said.

use crate::context::Globals;
use crate::error::{Code, Failure};
use hc_runtime::Places;
use hc_runtime::logs::{Follow, Line, Stream, tail};
use serde_json::json;
use std::io::Write;

/// Show what a machine wrote to its standard output and error, and what hc said about it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the machine
    machine: String,
    /// Go on as it happens
    #[arg(short, long)]
    follow: bool,
    /// Number of lines from the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    lines: usize,
    /// Show the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    let name = hc_spec::Name::new(args.machine.as_str())?;
    let log = Places::new(&globals.run_dir, &globals.state_dir, name.as_str()).log();
    if !log.is_dir() {
        return Err(Failure::new(Code::Failed, format!("there is no log of a machine '{name}'"))
            .hint("`hc ps` lists the machines of this host")
            .into());
    }
    // The place to go on from is held before the past is read: no line is lost in between, and
    // none is shown twice.
    let mut follow = if args.follow { Some(Follow::from_end(&log)?) } else { None };
    let past = tail(&log, args.lines)?;
    let mut newest = past.last().map_or(0, |line| line.time_us);
    show(args, &past)?;
    while let Some(follow) = &mut follow {
        let mut lines = follow.next(None)?;
        lines.retain(|line| line.time_us > newest);
        newest = lines.last().map_or(newest, |line| line.time_us);
        show(args, &lines)?;
    }
    Ok(())
}

fn show(args: &Args, lines: &[Line]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if args.json {
            let text = String::from_utf8_lossy(&line.text);
            let stream = match line.stream {
                Stream::Out => "stdout",
                Stream::Err => "stderr",
                Stream::Hc => "hc",
            };
            writeln!(out, "{}", json!({"timeUs": line.time_us, "stream": stream, "text": text}))?;
            continue;
        }
        if args.timestamps {
            let time = jiff::Timestamp::from_microsecond(line.time_us as i64)?;
            write!(out, "{} ", time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))?;
        }
        if line.stream == Stream::Hc {
            write!(out, "hc: ")?;
        }
        out.write_all(&line.text)?;
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
