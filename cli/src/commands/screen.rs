//! `hc screen`: the screen, keyboard and mouse of a PC, for a VNC viewer.

use crate::context::Globals;
use crate::error::{Code, Failure};
use crate::output;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Let VNC viewers look at the screen of a PC, until interrupted
///
/// Whoever reaches the address may look and type: nobody is asked for a password.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the machine
    machine: String,
    /// Where viewers connect to; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Print the machine's own socket instead, for a viewer that takes one
    #[arg(long, conflicts_with = "listen")]
    socket: bool,
}

pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<()> {
    Globals::need_root("screen")?;
    let machine = hc_spec::Name::new(args.machine.as_str())?;
    let socket = hc_runtime::screen(&globals.run_dir, machine.as_str());
    let refused = |error: io::Error| {
        let message =
            format!("machine '{machine}' shows no screen at {}: {error}", socket.display());
        let hint = "`hc ps` lists what runs; only machines of kind q35 have a screen";
        anyhow::Error::from(Failure::new(Code::Failed, message).hint(hint))
    };
    UnixStream::connect(&socket).map_err(refused)?;
    if args.socket {
        return output::line(socket.display());
    }
    let listener = TcpListener::bind(args.listen).map_err(|error| {
        Failure::new(Code::Failed, format!("cannot listen on {}: {error}", args.listen))
            .hint("choose another with --listen ADDRESS:PORT")
    })?;
    output::line(format!("vnc://{}", listener.local_addr()?))?;
    for viewer in listener.incoming() {
        let (viewer, socket) = (viewer?, socket.clone());
        std::thread::spawn(move || join(viewer, &socket));
    }
    Ok(())
}

/// Passes bytes both ways until both have ended.
fn join(viewer: TcpStream, socket: &Path) -> io::Result<()> {
    let screen = UnixStream::connect(socket)?;
    viewer.set_nodelay(true)?;
    let (mut from_viewer, mut to_screen) = (viewer.try_clone()?, screen.try_clone()?);
    let typing = std::thread::spawn(move || {
        let _ = io::copy(&mut from_viewer, &mut to_screen);
        let _ = to_screen.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut &screen, &mut &viewer);
    let _ = viewer.shutdown(Shutdown::Both);
    let _ = typing.join();
    Ok(())
}
