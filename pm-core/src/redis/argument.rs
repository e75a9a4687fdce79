use bytes::Bytes;

/// What can be an argument of a command: text, bytes, and whole numbers, which are sent as decimal
/// digits.
///
/// Sealed: the set may grow, and nobody else can add to it.
pub trait Argument: sealed::Append {}

pub(super) mod sealed {
    #[allow(
        unreachable_pub,
        reason = "a sealed trait is public in a private module"
    )]
    pub trait Append {
        fn append_to(&self, command: &mut redis::Cmd);
    }
}

use self::sealed::Append;

impl<T: Append + ?Sized> Append for &T {
    fn append_to(&self, command: &mut redis::Cmd) {
        (**self).append_to(command);
    }
}

impl<T: Argument + ?Sized> Argument for &T {}

macro_rules! as_bytes {
    ($($kind:ty),*) => {$(
        impl Append for $kind {
            fn append_to(&self, command: &mut redis::Cmd) {
                let bytes: &[u8] = self.as_ref();
                command.arg(bytes);
            }
        }

        impl Argument for $kind {}
    )*};
}

as_bytes!(str, String, [u8], Vec<u8>, Bytes);

impl<const N: usize> Append for [u8; N] {
    fn append_to(&self, command: &mut redis::Cmd) {
        command.arg(&self[..]);
    }
}

impl<const N: usize> Argument for [u8; N] {}

macro_rules! as_digits {
    ($($kind:ty),*) => {$(
        impl Append for $kind {
            fn append_to(&self, command: &mut redis::Cmd) {
                command.arg(*self);
            }
        }

        impl Argument for $kind {}
    )*};
}

as_digits!(i32, i64, u8, u16, u32, u64, usize);
