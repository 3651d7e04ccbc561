//! Answers for Windows setup (`autounattend.xml`; Microsoft's "Unattended Windows Setup Reference").
//!
//! Setup looks for the file in the root of every removable medium, takes the virtio drivers from the
//! other one, and asks nothing.

use super::{Seed, asks, is_outside, is_told, mac, shown, ways};
use hc_guest::wire::{Address, Interface};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// What is said of an installation besides who the machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// Number of the edition in the ISO's `install.wim`, 1 for the first.
    pub image: u32,
    /// Product key; without one the edition asks later.
    pub product_key: Option<String>,
    /// Password of `Administrator`.
    pub admin_password: String,
    /// Language, such as `en-US`.
    pub locale: String,
    /// Name of a time zone as Windows has them, such as `UTC`.
    pub time_zone: String,
    /// Folder of the drivers on the virtio ISO, such as `w11` or `2k22`.
    pub drivers: String,
    /// Remote desktop is switched on.
    pub rdp: bool,
    /// OpenSSH's server is installed and switched on.
    pub ssh: bool,
}

/// Letters that a CD may get: setup does not say which.
const DRIVES: [char; 4] = ['D', 'E', 'F', 'G'];
/// Folders of the virtio ISO that setup needs to see the disk and the network.
const DRIVERS: [&str; 3] = ["viostor", "NetKVM", "vioserial"];
const ARCHITECTURE: &str = r#"processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" language="neutral" versionScope="nonSxS""#;

/// The whole file.
pub(super) fn answers(seed: &Seed, windows: &Windows) -> String {
    let passes = [
        ("windowsPE", [pe_locale(windows), drivers(windows), setup(windows)].concat()),
        (
            "specialize",
            [shell(seed, windows), tcp_ip(seed), dns(seed), remote_desktop(windows)].concat(),
        ),
        ("oobeSystem", [oobe_locale(windows), oobe(seed, windows)].concat()),
    ];
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    text += "<unattend xmlns=\"urn:schemas-microsoft-com:unattend\" xmlns:wcm=\"http://schemas.microsoft.com/WMIConfig/2002/State\">\n";
    for (pass, components) in passes {
        let _ = write!(text, "<settings pass=\"{pass}\">\n{components}</settings>\n");
    }
    text + "</unattend>\n"
}

fn component(name: &str, contents: &str) -> String {
    format!("<component name=\"{name}\" {ARCHITECTURE}>\n{contents}</component>\n")
}

fn tag(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>\n", escaped(text))
}

fn within(name: &str, contents: &str) -> String {
    format!("<{name}>\n{contents}</{name}>\n")
}

/// An entry of a list, which needs to say that it is one.
fn added(name: &str, key: Option<&str>, contents: &str) -> String {
    let key = key.map(|key| format!(" wcm:keyValue=\"{}\"", escaped(key))).unwrap_or_default();
    format!("<{name} wcm:action=\"add\"{key}>{contents}</{name}>\n")
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // XML 1.0 has no way to say these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn locales(windows: &Windows) -> String {
    ["InputLocale", "SystemLocale", "UILanguage", "UserLocale"]
        .map(|name| tag(name, &windows.locale))
        .concat()
}

fn pe_locale(windows: &Windows) -> String {
    let language = within("SetupUILanguage", &tag("UILanguage", &windows.locale));
    component("Microsoft-Windows-International-Core-WinPE", &(language + &locales(windows)))
}

fn oobe_locale(windows: &Windows) -> String {
    component("Microsoft-Windows-International-Core", &locales(windows))
}

/// Every drive that may hold the virtio ISO; a path that is not there is passed over.
fn drivers(windows: &Windows) -> String {
    let mut paths = String::new();
    for drive in DRIVES {
        for driver in DRIVERS {
            let path = format!("{drive}:\\{driver}\\{}\\amd64", windows.drivers);
            let key = format!("{drive}{driver}");
            paths += &added("PathAndCredentials", Some(&key), &tag("Path", &path));
        }
    }
    component("Microsoft-Windows-PnpCustomizationsWinPE", &within("DriverPaths", &paths))
}

fn setup(windows: &Windows) -> String {
    let create = |order: &str, kind: &str, size: Option<&str>| {
        let size = size.map_or_else(|| tag("Extend", "true"), |size| tag("Size", size));
        added("CreatePartition", None, &(tag("Order", order) + &tag("Type", kind) + &size))
    };
    let modify = |order: &str, format: &str| {
        let both = tag("Order", order) + &tag("PartitionID", order) + &tag("Format", format);
        added("ModifyPartition", None, &both)
    };
    let disk = tag("DiskID", "0")
        + &tag("WillWipeDisk", "true")
        + &within(
            "CreatePartitions",
            &(create("1", "EFI", Some("260"))
                + &create("2", "MSR", Some("16"))
                + &create("3", "Primary", None)),
        )
        + &within("ModifyPartitions", &(modify("1", "FAT32") + &modify("3", "NTFS")));
    let disks = tag("WillShowUI", "OnError") + &added("Disk", None, &disk);
    let from = tag("Key", "/IMAGE/INDEX") + &tag("Value", &windows.image.to_string());
    let to = tag("DiskID", "0") + &tag("PartitionID", "3");
    let image = within("InstallFrom", &added("MetaData", None, &from)) + &within("InstallTo", &to);
    let key = windows.product_key.as_deref().map_or_else(String::new, |key| tag("Key", key));
    let user =
        tag("AcceptEula", "true") + &within("ProductKey", &(key + &tag("WillShowUI", "OnError")));
    component(
        "Microsoft-Windows-Setup",
        &(within("DiskConfiguration", &disks)
            + &within("ImageInstall", &within("OSImage", &image))
            + &within("UserData", &user)),
    )
}

fn shell(seed: &Seed, windows: &Windows) -> String {
    let contents = tag("ComputerName", &seed.hostname) + &tag("TimeZone", &windows.time_zone);
    component("Microsoft-Windows-Shell-Setup", &contents)
}

fn tcp_ip(seed: &Seed) -> String {
    let list: String = seed.interfaces.iter().map(|link| interface(seed, link)).collect();
    component("Microsoft-Windows-TCPIP", &within("Interfaces", &list))
}

fn interface(seed: &Seed, link: &Interface) -> String {
    let settings = |name: &str, asks: bool| {
        let told = is_told(link).to_string();
        within(
            name,
            &(tag("DhcpEnabled", &asks.to_string()) + &tag("RouterDiscoveryEnabled", &told)),
        )
    };
    let address = |(key, own): (usize, &Address)| {
        let own = shown(own);
        format!("<IpAddress wcm:action=\"add\" wcm:keyValue=\"{key}\">{own}</IpAddress>\n")
    };
    let addresses: String = (1..).zip(&link.addresses).map(address).collect();
    // A router that is outside of the link's prefixes has a route of its own first.
    let outside = ways(seed, link).filter(|(_, via)| is_outside(link, *via));
    let first = outside.map(|(_, via)| (format!("{via}/32"), IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    let rest = ways(seed, link).map(|(to, via)| (shown(to), via));
    let route = |(key, (prefix, next)): (usize, (String, IpAddr))| {
        let contents = tag("Identifier", &key.to_string())
            + &tag("Metric", "10")
            + &tag("NextHopAddress", &next.to_string())
            + &tag("Prefix", &prefix);
        added("Route", None, &contents)
    };
    let routes: String = (1..).zip(first.chain(rest)).map(route).collect();
    let contents = settings("Ipv4Settings", asks(link))
        + &settings("Ipv6Settings", false)
        + &tag("Identifier", &mac(link.mac, "-"))
        + &within("UnicastIpAddresses", &addresses)
        + &within("Routes", &routes);
    added("Interface", None, &contents)
}

fn dns(seed: &Seed) -> String {
    let Some(first) = seed.interfaces.first() else { return String::new() };
    let listed = |values: Vec<String>| -> String {
        let one = |(index, value): (usize, String)| {
            format!(
                "<IpAddress wcm:action=\"add\" wcm:keyValue=\"{}\">{value}</IpAddress>\n",
                index + 1
            )
        };
        values.into_iter().enumerate().map(one).collect()
    };
    let servers = listed(seed.dns.iter().map(ToString::to_string).collect());
    let domains: String = (1..)
        .zip(&seed.search)
        .map(|(index, domain)| {
            format!(
                "<DomainName wcm:action=\"add\" wcm:keyValue=\"{index}\">{}</DomainName>\n",
                escaped(domain)
            )
        })
        .collect();
    let link = tag("Identifier", &mac(first.mac, "-")) + &within("DNSServerSearchOrder", &servers);
    component(
        "Microsoft-Windows-DNS-Client",
        &(within("DNSSuffixSearchOrder", &domains)
            + &within("Interfaces", &added("Interface", None, &link))),
    )
}

fn remote_desktop(windows: &Windows) -> String {
    if !windows.rdp {
        return String::new();
    }
    let rule =
        tag("Active", "true") + &tag("Group", "@FirewallAPI.dll,-28752") + &tag("Profile", "all");
    let rules = within("FirewallGroups", &added("FirewallGroup", Some("RemoteDesktop"), &rule));
    component(
        "Microsoft-Windows-TerminalServices-LocalSessionManager",
        &tag("fDenyTSConnections", "false"),
    ) + &component("Networking-MPSSVC-Svc", &rules)
}

fn oobe(seed: &Seed, windows: &Windows) -> String {
    let password = tag("Value", &windows.admin_password) + &tag("PlainText", "true");
    let screens = [
        "HideEULAPage",
        "HideOEMRegistrationScreen",
        "HideOnlineAccountScreens",
        "HideWirelessSetupInOOBE",
    ]
    .map(|name| tag(name, "true"))
    .concat();
    let logon = tag("Enabled", "true")
        + &tag("LogonCount", "1")
        + &tag("Username", "Administrator")
        + &within("Password", &password);
    let mut commands = String::new();
    for (index, line) in (1..).zip(first_logon(seed, windows)) {
        let contents = tag("Order", &index.to_string()) + &tag("CommandLine", &line);
        commands += &added("SynchronousCommand", None, &contents);
    }
    let contents = within("UserAccounts", &within("AdministratorPassword", &password))
        + &within("AutoLogon", &logon)
        + &within("OOBE", &(screens + &tag("ProtectYourPC", "3")))
        + &within("FirstLogonCommands", &commands);
    component("Microsoft-Windows-Shell-Setup", &contents)
}

/// What is done once, as the administrator, and then the session ends.
fn first_logon(seed: &Seed, windows: &Windows) -> Vec<String> {
    let shell = |script: String| {
        format!("powershell -NoProfile -ExecutionPolicy Bypass -Command \"{script}\"")
    };
    let mut lines = Vec::new();
    if windows.ssh {
        lines.push(shell("Add-WindowsCapability -Online -Name OpenSSH.Server~~~~0.0.1.0".into()));
        if !seed.authorized_keys.is_empty() {
            // A here-string would end at a quote; a key has none, and single quotes are doubled.
            let keys: Vec<String> = seed
                .authorized_keys
                .iter()
                .map(|key| format!("'{}'", key.replace('\'', "''").replace('"', "")))
                .collect();
            let file = "$env:ProgramData\\ssh\\administrators_authorized_keys";
            lines.push(shell(format!(
                "New-Item -Force -ItemType Directory $env:ProgramData\\ssh | Out-Null; Set-Content -Encoding ascii {file} {}; icacls {file} /inheritance:r /grant Administrators:F /grant SYSTEM:F",
                keys.join(",")
            )));
        }
        lines.push(shell("Set-Service sshd -StartupType Automatic; Start-Service sshd".into()));
    }
    lines.push("logoff".into());
    lines
}
