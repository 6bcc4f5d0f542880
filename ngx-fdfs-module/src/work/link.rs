//! One request to a tracker or storage over a connection of its own, without ever waiting.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use core::ffi::c_void;

use fdfs_core::http::work::Errand;
use fdfs_core::wire::{Header, cmd};
use ngx::ffi::*;

use crate::nginx::{AGAIN, OK};
use crate::tracker;

/// The connection is of no use any more. nginx has logged why.
#[derive(Debug)]
pub struct Lost;

/// A whole answer.
pub struct Reply {
    /// Status byte.
    pub status: u8,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// An open connection; closed when dropped.
pub struct Link {
    connection: *mut ngx_connection_t,
    received: Vec<u8>,
    /// Whether the other side has ever taken something.
    pub connected: bool,
}

impl Link {
    /// Begins to connect. Events go to `handler`, with `data` in the connection.
    ///
    /// # Safety
    /// `data` must stay valid, and `log` live, until the link is dropped.
    pub unsafe fn open(
        to: SocketAddr,
        handler: ngx_event_handler_pt,
        data: *mut c_void,
        log: *mut ngx_log_t,
    ) -> Result<Self, Lost> {
        let connection = tracker::connect(to).map_err(|_| Lost)?;
        // SAFETY: the connection is new and open.
        unsafe {
            let c = &mut *connection;
            c.data = data;
            c.log = log;
            c.set_log_error(ngx_connection_log_error_e_NGX_ERROR_ERR);
            (*c.read).log = log;
            (*c.write).log = log;
            (*c.read).handler = handler;
            (*c.write).handler = handler;
        }
        Ok(Self { connection, received: Vec::new(), connected: false })
    }

    /// Bytes that have come.
    pub fn received(&self) -> usize {
        self.received.len()
    }

    /// Sends what the socket takes; 0: nothing now.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, Lost> {
        // SAFETY: the connection is open; `send` reads at most the bytes given.
        unsafe {
            let c = &mut *self.connection;
            if (*c.write).ready() == 0 {
                return self.blocked();
            }
            let Some(send) = c.send else { return Err(Lost) };
            match send(c, bytes.as_ptr().cast_mut(), bytes.len()) {
                sent if sent > 0 => {
                    self.connected = true;
                    Ok(sent.unsigned_abs())
                }
                AGAIN | 0 => self.blocked(),
                _ => Err(Lost),
            }
        }
    }

    /// The same from a file.
    pub fn send_file(&mut self, file: &File, from: u64, len: u64) -> Result<usize, Lost> {
        /// A call sends no more, so that other connections get their turn.
        const PIECE: u64 = 1 << 20;
        // SAFETY: the connection is open and so is the file; the offset is a local.
        unsafe {
            let c = &mut *self.connection;
            if (*c.write).ready() == 0 {
                return self.blocked();
            }
            let mut offset = libc::off_t::try_from(from).map_err(|_| Lost)?;
            let sent = libc::sendfile(c.fd, file.as_raw_fd(), &mut offset, len.min(PIECE) as usize);
            if sent > 0 {
                self.connected = true;
                return Ok(sent.unsigned_abs());
            }
            match std::io::Error::last_os_error().kind() {
                std::io::ErrorKind::WouldBlock if sent < 0 => {
                    (*c.write).set_ready(0);
                    self.blocked()
                }
                std::io::ErrorKind::Interrupted if sent < 0 => Ok(0),
                // 0: the file is shorter than it was.
                _ => Err(Lost),
            }
        }
    }

    /// The answer, when all of it is there.
    pub fn receive(&mut self) -> Result<Option<Reply>, Lost> {
        let mut piece = [0_u8; 4096];
        loop {
            if let Some(reply) = self.whole()? {
                return Ok(Some(reply));
            }
            // SAFETY: the connection is open; `recv` writes at most the length given.
            let got = unsafe {
                let c = &mut *self.connection;
                if (*c.read).ready() == 0 && (*c.read).eof() == 0 {
                    return if ngx_handle_read_event(c.read, 0) == OK { Ok(None) } else { Err(Lost) };
                }
                let Some(recv) = c.recv else { return Err(Lost) };
                recv(c, piece.as_mut_ptr(), piece.len())
            };
            match usize::try_from(got) {
                Ok(0) => return Err(Lost),
                Ok(got) => self.received.extend_from_slice(piece.get(..got).unwrap_or_default()),
                Err(_) if got == AGAIN => {
                    // SAFETY: as above.
                    let waits = unsafe { ngx_handle_read_event((*self.connection).read, 0) };
                    return if waits == OK { Ok(None) } else { Err(Lost) };
                }
                Err(_) => return Err(Lost),
            }
        }
    }

    fn whole(&self) -> Result<Option<Reply>, Lost> {
        let Some(head) = Header::peek(&self.received) else { return Ok(None) };
        let len = head.body().filter(|len| head.cmd == cmd::RESPONSE && *len <= Errand::ANSWER_MAX);
        let end = Header::SIZE + usize::try_from(len.ok_or(Lost)?).map_err(|_| Lost)?;
        let body = self.received.get(Header::SIZE..end);
        Ok(body.map(|body| Reply { status: head.status, body: body.to_vec() }))
    }

    fn blocked(&self) -> Result<usize, Lost> {
        // SAFETY: the connection is open.
        let waits = unsafe { ngx_handle_write_event((*self.connection).write, 0) };
        if waits == OK { Ok(0) } else { Err(Lost) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // SAFETY: open until here, and without a pool of its own.
        unsafe { ngx_close_connection(self.connection) };
    }
}
