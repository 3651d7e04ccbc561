//! What a PC reads besides its disk: CDs to install from, and who it is.

use super::identity;
use crate::error::{Doing, Problem, Res};
use crate::network::Tap;
use crate::seed::Seed;
use crate::supervise::{Run, identity as who};
use hc_spec::q35::{Q35, Windows};
use rustix::fs::{MemfdFlags, SeekFrom};
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Characters of a password; none that look alike.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Name of the password's file, in the machine's state.
const PASSWORD: &str = "windows-password";

impl Run<'_> {
    /// CDs that it is installed from, as long as its disk is `fresh`, and a disk that says who it is.
    pub(super) fn media(
        &self,
        q35: &Q35,
        fresh: bool,
        taps: &[Tap],
    ) -> Res<(Vec<OwnedFd>, Option<OwnedFd>)> {
        let mut cds = Vec::new();
        for medium in q35.media.iter().filter(|_| fresh) {
            let file = self.config.physical(medium);
            let file = File::open(&file).doing_with(|| format!("open {}", file.display()))?;
            cds.push(file.into());
        }
        let plain = |error: crate::seed::iso::IsoError| Problem::plain(error.to_string());
        if let (Some(windows), true) = (&q35.windows, fresh) {
            let seed = self.seed(taps, &windows.authorized_keys);
            let image = seed.windows(&self.answers(windows)?).map_err(plain)?;
            cds.push(read_only(in_memory(&image)?)?);
        }
        let told = q35.cloud_init.as_ref();
        let seed = told.map(|told| {
            let image = self.seed(taps, &told.authorized_keys).no_cloud().map_err(plain)?;
            read_only(in_memory(&image)?)
        });
        Ok((cds, seed.transpose()?))
    }

    fn seed(&self, taps: &[Tap], authorized_keys: &[String]) -> Seed {
        let name = &self.spec.name;
        let first = who::places(self.spec).next();
        let dns = match (&self.config.dns[..], &first) {
            ([], Some(place)) => vec![IpAddr::V6(place.gateway())],
            (servers, _) => servers.to_vec(),
        };
        let (interfaces, routes) = identity::network(self.spec, taps, &identity::macs(self.spec));
        let id = identity::machine_id(self.spec);
        Seed {
            hostname: name.to_string(),
            instance: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            interfaces,
            routes,
            dns,
            search: first.iter().map(hc_spec::addr::Place::zone).collect(),
            authorized_keys: authorized_keys.to_vec(),
        }
    }

    fn answers(&self, windows: &Windows) -> Res<crate::seed::Windows> {
        Ok(crate::seed::Windows {
            image: windows.edition,
            product_key: windows.product_key.clone(),
            admin_password: password(&self.places.state.join(PASSWORD))?,
            locale: windows.locale.clone(),
            time_zone: windows.time_zone.clone(),
            drivers: windows.drivers.clone(),
            rdp: windows.rdp,
            ssh: windows.ssh,
        })
    }
}

/// A file that is nowhere, with these bytes.
pub(super) fn in_memory(bytes: &[u8]) -> Res<OwnedFd> {
    let action = "make a file in memory";
    let file = rustix::fs::memfd_create("hc", MemfdFlags::CLOEXEC).doing(action)?;
    let mut file = File::from(file);
    file.write_all(bytes).doing(action)?;
    Ok(file.into())
}

/// The same, for reading alone: QEMU wants of a descriptor just the rights that it asks for.
fn read_only(file: OwnedFd) -> Res<OwnedFd> {
    let same = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(File::open(same).doing("open a file in memory")?.into())
}

/// Whether nothing was ever written to a disk that began empty.
pub(super) fn is_empty(disk: &File) -> bool {
    rustix::fs::seek(disk, SeekFrom::Data(0)) == Err(rustix::io::Errno::NXIO)
}

/// The administrator's password: as it was, or a new one.
fn password(file: &Path) -> Res<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => return Ok(text.trim_end().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => Err(error).doing_with(|| format!("read {}", file.display()))?,
    }
    let mut bytes = [0; 64];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .doing("get random numbers")?;
    // Of the 256 values those that would favour the first letters are left out.
    let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|n| *n < LETTERS.len() * 4);
    let letters: String = fair.take(20).map(|n| char::from(LETTERS[n % LETTERS.len()])).collect();
    // Windows wants characters of several kinds.
    let password = format!("{letters}-aA1");
    hc_fs::durable::write(file, format!("{password}\n").as_bytes(), 0o600)?;
    Ok(password)
}
