use super::*;
use hc_guest::wire::Neighbour;
use proptest::prelude::*;
use std::process::Command;

fn address(ip: &str, prefix: u8) -> Address {
    Address { ip: ip.parse().unwrap(), prefix }
}

fn route(to: (&str, u8), via: Option<&str>, interface: &str) -> Route {
    let via = via.map(|via| via.parse().unwrap());
    Route { to: address(to.0, to.1), via, interface: interface.into() }
}

fn seed() -> Seed {
    Seed {
        hostname: "desk".into(),
        instance: "i-1".into(),
        interfaces: vec![
            Interface {
                mac: [2, 0, 0, 0xab, 1, 2],
                name: "eth0".into(),
                addresses: vec![address("fd00::5", 64), address("100.64.0.9", 32)],
                neighbours: vec![Neighbour { ip: "fd00::1".parse().unwrap(), mac: [2; 6] }],
                mtu: Some(1500),
                ..Default::default()
            },
            Interface {
                mac: [2, 0, 0, 0xab, 1, 3],
                name: "lan0".into(),
                addresses: vec![address("2001:db8::7", 64)],
                mtu: Some(1500),
                ..Default::default()
            },
        ],
        routes: vec![
            route(("::", 0), Some("2001:db8::1"), "lan0"),
            route(("0.0.0.0", 0), Some("100.64.0.1"), "eth0"),
        ],
        dns: vec!["fd00::1".parse().unwrap()],
        search: vec!["lan.h.c.internal".into()],
        authorized_keys: vec!["ssh-ed25519 AAAA it's <me>".into()],
    }
}

fn windows() -> Windows {
    Windows {
        image: 6,
        product_key: None,
        admin_password: "a&b<c>\"".into(),
        locale: "en-US".into(),
        time_zone: "UTC".into(),
        drivers: "w11".into(),
        rdp: true,
        ssh: true,
    }
}

/// What a program that somebody else wrote reads from an image.
fn isoinfo(image: &[u8], arguments: &[&str]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    hc_fs::plain::write(file.path(), image, 0o600).unwrap();
    let output =
        Command::new("isoinfo").args(arguments).arg("-i").arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn another_program_reads_the_image() {
    let image = seed().no_cloud().unwrap();
    assert_eq!(image, seed().no_cloud().unwrap(), "the same bytes");
    let listed = String::from_utf8(isoinfo(&image, &["-J", "-f"])).unwrap();
    assert_eq!(listed, "/meta-data;1\n/network-config;1\n/user-data;1\n");
    let text = isoinfo(&image, &["-J", "-x", "/meta-data;1"]);
    let meta: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(meta["local-hostname"], "desk");
    let about = String::from_utf8(isoinfo(&image, &["-d"])).unwrap();
    assert!(about.contains("Volume id: cidata"), "{about}");
    assert!(about.contains("Joliet with UCS level 3"), "{about}");
    let short = String::from_utf8(isoinfo(&image, &["-f"])).unwrap();
    assert_eq!(short, "/META_DAT.;1\n/NETWORK_.;1\n/USER_DAT.;1\n");
}

#[test]
fn cloud_init_gets_addresses_by_mac() {
    let files = cloud_init::files(&seed());
    let text = |name: &str| {
        let file = files.iter().find(|file| file.name == name).unwrap();
        String::from_utf8(file.bytes.clone()).unwrap()
    };
    assert!(text("user-data").starts_with("#cloud-config\n{"));
    insta::assert_snapshot!(text("network-config"), @r#"
    {
      "version": 2,
      "ethernets": {
        "eth0": {
          "match": {
            "macaddress": "02:00:00:ab:01:02"
          },
          "set-name": "eth0",
          "dhcp4": false,
          "dhcp6": false,
          "accept-ra": false,
          "addresses": [
            "fd00::5/64",
            "100.64.0.9/32"
          ],
          "mtu": 1500,
          "routes": [
            {
              "to": "0.0.0.0/0",
              "via": "100.64.0.1",
              "on-link": true
            }
          ],
          "nameservers": {
            "addresses": [
              "fd00::1"
            ],
            "search": [
              "lan.h.c.internal"
            ]
          }
        },
        "lan0": {
          "match": {
            "macaddress": "02:00:00:ab:01:03"
          },
          "set-name": "lan0",
          "dhcp4": true,
          "dhcp6": false,
          "accept-ra": true,
          "addresses": [
            "2001:db8::7/64"
          ],
          "mtu": 1500,
          "routes": [
            {
              "to": "::/0",
              "via": "2001:db8::1"
            }
          ]
        }
      }
    }
    "#);
}

#[test]
fn answers_are_well_formed_whatever_is_in_them() {
    let text = windows::answers(&seed(), &windows());
    let file = tempfile::NamedTempFile::new().unwrap();
    hc_fs::plain::write(file.path(), text.as_bytes(), 0o600).unwrap();
    let script = "import sys, xml.dom.minidom as m\nd = m.parse(sys.argv[1])\nt = lambda n: [''.join(c.data for c in e.childNodes) for e in d.getElementsByTagName(n)]\nprint(t('ComputerName'), t('Value'), t('IpAddress'), t('Identifier'), len(t('Path')))\nprint(*t('CommandLine'), sep='\\n')";
    let output = Command::new("python3").args(["-c", script]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r#"
    ['desk'] ['6', 'a&b<c>"', 'a&b<c>"'] ['fd00::5/64', '100.64.0.9/32', '2001:db8::7/64', 'fd00::1'] ['02-00-00-ab-01-02', '1', '2', '02-00-00-ab-01-03', '1', '02-00-00-ab-01-02'] 12
    powershell -NoProfile -ExecutionPolicy Bypass -Command "Add-WindowsCapability -Online -Name OpenSSH.Server~~~~0.0.1.0"
    powershell -NoProfile -ExecutionPolicy Bypass -Command "New-Item -Force -ItemType Directory $env:ProgramData\ssh | Out-Null; Set-Content -Encoding ascii $env:ProgramData\ssh\administrators_authorized_keys 'ssh-ed25519 AAAA it''s <me>'; icacls $env:ProgramData\ssh\administrators_authorized_keys /inheritance:r /grant Administrators:F /grant SYSTEM:F"
    powershell -NoProfile -ExecutionPolicy Bypass -Command "Set-Service sshd -StartupType Automatic; Start-Service sshd"
    logoff
    "#);
}

#[test]
fn what_the_format_has_no_room_for_is_refused() {
    let file = |name: &str| IsoFile { name: name.into(), bytes: Vec::new() };
    for (label, files, says) in [
        ("", vec![], "label"),
        ("has blank", vec![], "label"),
        ("a", vec![file("a/b")], "'a/b'"),
        ("a", vec![file("..")], "'..'"),
        ("a", vec![file(&"x".repeat(65))], "64"),
        ("a", vec![file("X"), file("x")], "two files"),
    ] {
        let said = iso::write(label, &files).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn another_program_reads_any_files(
        files in prop::collection::btree_map("[a-z][a-z0-9_-]{0,40}(\\.[a-z]{1,5})?", prop::collection::vec(any::<u8>(), 0..5000), 1..60)
    ) {
        let files: Vec<IsoFile> = files.into_iter().map(|(name, bytes)| IsoFile { name, bytes }).collect();
        let image = iso::write("t", &files).unwrap();
        let listed = String::from_utf8(isoinfo(&image, &["-J", "-f"])).unwrap();
        prop_assert_eq!(listed.lines().count(), files.len());
        let last = files.last().unwrap();
        prop_assert_eq!(isoinfo(&image, &["-J", "-x", &format!("/{};1", last.name)]), last.bytes.clone());
    }
}
