//! How values are written: integers little endian, text and lists behind their length as `u32`,
//! optional values behind a `u8` 0 or 1.

use super::WireError;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is left of a message's contents.
#[derive(Debug)]
pub struct Body<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    /// The contents of a message of this kind.
    #[must_use]
    pub fn new(kind: u8, contents: &'a [u8]) -> Self {
        Self { kind, rest: contents }
    }

    pub(super) fn damaged(&self) -> WireError {
        WireError::Damaged(self.kind)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    /// Everything that is left.
    pub(super) fn all(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.rest).to_vec()
    }
}

/// A value in a message.
pub trait Field: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads one.
    ///
    /// # Errors
    /// [`WireError::Damaged`].
    fn take(body: &mut Body<'_>) -> Result<Self, WireError>;

    /// Appends many, without their count.
    fn put_many(many: &[Self], out: &mut Vec<u8>) {
        many.iter().for_each(|one| one.put(out));
    }

    /// Reads many.
    ///
    /// # Errors
    /// [`WireError::Damaged`].
    fn take_many(count: usize, body: &mut Body<'_>) -> Result<Vec<Self>, WireError> {
        // What is said to be there is not made room for: it may not be.
        let mut many = Vec::new();
        for _ in 0..count {
            many.push(Self::take(body)?);
        }
        Ok(many)
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
                let bytes = body.bytes(size_of::<Self>())?;
                let bytes = bytes.try_into().map_err(|_| body.damaged())?;
                Ok(Self::from_le_bytes(bytes))
            }
        }
    )*};
}
integers!(u16, u32, u64);

impl Field for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        Ok(body.bytes(1)?[0])
    }
    fn put_many(many: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(many);
    }
    fn take_many(count: usize, body: &mut Body<'_>) -> Result<Vec<Self>, WireError> {
        Ok(body.bytes(count)?.to_vec())
    }
}

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        match u8::take(body)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(body.damaged()),
        }
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        body.bytes(N)?.try_into().map_err(|_| body.damaged())
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        T::put_many(self, out);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        let count = u32::take(body)? as usize;
        T::take_many(count, body)
    }
}

impl Field for String {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self.as_bytes());
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        Self::from_utf8(Vec::take(body)?).map_err(|_| body.damaged())
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        bool::take(body)?.then(|| T::take(body)).transpose()
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        Ok((A::take(body)?, B::take(body)?))
    }
}

/// `u8` 4 or 6, and the address's bytes.
impl Field for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::V4(address) => (4u8, address.octets()).put(out),
            Self::V6(address) => (6u8, address.octets()).put(out),
        }
    }
    fn take(body: &mut Body<'_>) -> Result<Self, WireError> {
        match u8::take(body)? {
            4 => Ok(Self::V4(Ipv4Addr::from(<[u8; 4]>::take(body)?))),
            6 => Ok(Self::V6(Ipv6Addr::from(<[u8; 16]>::take(body)?))),
            _ => Err(body.damaged()),
        }
    }
}

/// A structure is its fields, one after the other.
macro_rules! structure {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::wire::fields::Field for $name {
            fn put(&self, out: &mut alloc::vec::Vec<u8>) {
                $($crate::wire::fields::Field::put(&self.$field, out);)*
            }
            fn take(body: &mut $crate::wire::Body<'_>) -> Result<Self, $crate::wire::WireError> {
                Ok(Self { $($field: $crate::wire::fields::Field::take(body)?),* })
            }
        }
    };
}
pub(super) use structure;
