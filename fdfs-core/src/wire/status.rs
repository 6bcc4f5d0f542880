//! The status byte of an answer: a Linux errno (protocol 1.4).

use std::fmt;

/// Errno as it travels in the header. 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Status(pub u8);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $short:literal, $text:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Symbolic name (`ENOENT`), empty for numbers without a use in the protocol.
            pub const fn name(self) -> &'static str {
                match self.0 { $($number => $short,)* _ => "" }
            }

            /// The C library's text, as clients print it.
            pub const fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "Unknown error" }
            }
        }
    };
}

statuses! {
    /// Success.
    OK = 0, "OK", "Success";
    /// Token mismatch.
    PERM = 1, "EPERM", "Operation not permitted";
    /// Unknown group, storage or file; nothing eligible.
    NOENT = 2, "ENOENT", "No such file or directory";
    /// Interrupted call.
    INTR = 4, "EINTR", "Interrupted system call";
    /// I/O failure.
    IO = 5, "EIO", "Input/output error";
    /// Try again later.
    AGAIN = 11, "EAGAIN", "Resource temporarily unavailable";
    /// A buffer cannot grow.
    NOMEM = 12, "ENOMEM", "Cannot allocate memory";
    /// The command needs a joined storage; storage not writable.
    ACCES = 13, "EACCES", "Permission denied";
    /// The tracker asks the storage not to be created yet.
    FAULT = 14, "EFAULT", "Bad address";
    /// Still in use.
    BUSY = 16, "EBUSY", "Device or resource busy";
    /// Exists already.
    EXIST = 17, "EEXIST", "File exists";
    /// Not a directory.
    NOTDIR = 20, "ENOTDIR", "Not a directory";
    /// A directory, or not a regular file.
    ISDIR = 21, "EISDIR", "Is a directory";
    /// Malformed request, wrong length, wrong group, unknown command, bad characters.
    INVAL = 22, "EINVAL", "Invalid argument";
    /// Descriptors exhausted (system).
    NFILE = 23, "ENFILE", "Too many open files in system";
    /// Descriptors exhausted (process).
    MFILE = 24, "EMFILE", "Too many open files";
    /// No space above the reserve.
    NOSPC = 28, "ENOSPC", "No space left on device";
    /// Read-only file system.
    ROFS = 30, "EROFS", "Read-only file system";
    /// Connection closed by the peer.
    PIPE = 32, "EPIPE", "Broken pipe";
    /// Address text too long.
    NAMETOOLONG = 36, "ENAMETOOLONG", "File name too long";
    /// Chosen storage is not active.
    NONET = 64, "ENONET", "Machine is not on the network";
    /// Protocol error.
    PROTO = 71, "EPROTO", "Protocol error";
    /// Not leader, trunk or storage ids disabled.
    OPNOTSUPP = 95, "EOPNOTSUPP", "Operation not supported";
    /// Address in use.
    ADDRINUSE = 98, "EADDRINUSE", "Address already in use";
    /// Connection reset.
    CONNRESET = 104, "ECONNRESET", "Connection reset by peer";
    /// Not connected.
    NOTCONN = 107, "ENOTCONN", "Transport endpoint is not connected";
    /// Timed out; token expired.
    TIMEDOUT = 110, "ETIMEDOUT", "Connection timed out";
    /// Connection refused (client side only).
    CONNREFUSED = 111, "ECONNREFUSED", "Connection refused";
    /// Host unreachable (client side only).
    HOSTUNREACH = 113, "EHOSTUNREACH", "No route to host";
    /// Already in the requested state.
    ALREADY = 114, "EALREADY", "Operation already in progress";
    /// Refused by configuration.
    CANCELED = 125, "ECANCELED", "Operation canceled";
}

impl Status {
    /// Whether the answer is a success.
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// The errno of a failed system call; [`Status::IO`] when there is none or it does not fit.
    pub fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        if let Some(errno) = error.raw_os_error() {
            return u8::try_from(errno).map_or(Self::IO, Self);
        }
        match error.kind() {
            ErrorKind::TimedOut => Self::TIMEDOUT,
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => Self::PIPE,
            ErrorKind::ConnectionReset => Self::CONNRESET,
            ErrorKind::ConnectionRefused => Self::CONNREFUSED,
            ErrorKind::NotFound => Self::NOENT,
            ErrorKind::InvalidInput | ErrorKind::InvalidData => Self::INVAL,
            _ => Self::IO,
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_system_calls_keep_their_number() {
        assert_eq!(Status::from_io(&std::io::Error::from_raw_os_error(28)), Status::NOSPC);
        assert_eq!(Status::from_io(&std::io::Error::other("x")), Status::IO);
        assert_eq!(Status::from_io(&std::io::Error::from_raw_os_error(5000)), Status::IO);
    }

    #[test]
    fn display_reads_like_strerror() {
        assert_eq!(Status::NOENT.to_string(), "2 (No such file or directory)");
        assert_eq!(Status(200).text(), "Unknown error");
    }
}
