//! `fork STATE_DIR STORE_ROOT IMAGE_FILE MACHINE DISK [--replace]`: makes a fork as a process of its
//! own, for tests that kill it. Prints how, and `copied` for each base it made. Instead of a machine,
//! `--root` makes the base that roots are snapshots of, and `--gc` collects the bases that no fork
//! needs, of images that are gone.

use hc_runtime::base::{Bases, ImageFile};
use hc_runtime::disk::{Disks, Request};
use hc_spec::Name;
use std::path::Path;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [state, root, image, machine, rest @ ..] = &words[..] else {
        eprintln!("usage: fork STATE_DIR STORE_ROOT IMAGE_FILE MACHINE DISK [--replace]");
        std::process::exit(2);
    };
    let (state, root) = (Path::new(state), Path::new(root));
    let done = match machine.as_str() {
        "--gc" => gc(state, root),
        "--root" => make_root(state, root, image),
        _ => fork(state, root, image, machine, rest),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn fork(state: &Path, root: &Path, image: &str, machine: &str, rest: &[String]) -> Done {
    let image = ImageFile::new(Path::new(image), Some(root))?;
    let (machine, disk) = (Name::new(machine)?, Name::new(rest.first().map_or("root", |d| d))?);
    let replace = rest.iter().any(|word| word == "--replace");
    let request = Request { machine: &machine, disk: &disk, image: &image, size: None, replace };
    let roots = root.join("roots");
    let keep = |link: &Path| {
        hc_fs::durable::create_dir_all(&roots, 0o755)?;
        let name = link.parent().and_then(Path::file_name).unwrap_or_default();
        Ok(hc_fs::durable::symlink(link, &roots.join(name))?)
    };
    let made = Disks::new(state).fork(&request, &keep, &|copying| {
        if copying.done >= copying.total {
            println!("copied");
        }
    })?;
    println!("{:?} {}", made.method, made.path.display());
    Ok(())
}

fn make_root(state: &Path, root: &Path, image: &str) -> Done {
    let image = ImageFile::new(Path::new(image), Some(root))?;
    println!("{}", Bases::new(state).make_root(&image, &|_| ())?.display());
    Ok(())
}

fn gc(state: &Path, root: &Path) -> Done {
    let (bases, disks) = (Bases::new(state), Disks::new(state));
    bases.release(&|image| disks.read_image(image), false)?;
    bases.collect(&|image| root.join("nix/store").join(image).exists(), false)?;
    Ok(())
}
