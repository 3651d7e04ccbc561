//! What the address of a cache says besides where it is: `…?compression=xz&priority=10`.

use nix_compat::narinfo::Compression;

/// The settings of a cache.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How archives are written.
    pub compression: Compression,
    /// How hard that is tried, where it is not as usual.
    pub level: Option<u32>,
    /// In place of what the cache says of itself.
    pub priority: Option<i64>,
    /// In place of what the cache says of itself.
    pub mass_query: Option<bool>,
    /// What it has is taken without a signature.
    pub trusted: bool,
}

impl Settings {
    /// Takes an address apart.
    ///
    /// # Errors
    /// When it says what is not known.
    pub fn parse(address: &str) -> Result<(&str, Self), String> {
        let (place, said) = address.split_once('?').unwrap_or((address, ""));
        let mut settings = Self {
            compression: Compression::Zstd,
            level: None,
            priority: None,
            mass_query: None,
            trusted: false,
        };
        for setting in said.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let wrong = |wanted: &str| format!("{name} must be {wanted}, not {value:?}");
            let boolean = || match value {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" => Ok(false),
                _ => Err(wrong("true or false")),
            };
            match name {
                "compression" => settings.compression = Compression::parse(value),
                // Minus one is what C++ Nix calls the usual level.
                "compression-level" if value == "-1" => settings.level = None,
                "compression-level" => {
                    settings.level = Some(value.parse().map_err(|_| wrong("a number"))?);
                }
                "priority" => {
                    settings.priority = Some(value.parse().map_err(|_| wrong("a number"))?);
                }
                "want-mass-query" => settings.mass_query = Some(boolean()?),
                "trusted" => settings.trusted = boolean()?,
                _ => return Err(format!("the setting {setting:?} is not known")),
            }
        }
        match &settings.compression {
            Compression::Other(name) => Err(format!("the compression {name:?} is not known")),
            _ => Ok((place, settings)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_address() {
        let (place, settings) =
            Settings::parse("https://x/y?priority=10&trusted=1&compression=xz&compression-level=9")
                .unwrap();
        assert_eq!((place, settings.priority, settings.level), ("https://x/y", Some(10), Some(9)));
        assert!(settings.trusted && settings.compression == Compression::Xz);
        for wrong in ["x?priority=a", "x?trusted=maybe", "x?compression=rot13", "x?color=red"] {
            Settings::parse(wrong).unwrap_err();
        }
    }
}
