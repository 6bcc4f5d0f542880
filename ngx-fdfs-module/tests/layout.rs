//! The bits that Rust sets are the bits that C reads.
//!
//! bindgen has placed bitfields wrongly before (nginx-module 11.3): such a module compiles, loads, and writes
//! other flags. A C program, compiled against the same headers, prints where each field lies that the module uses.
//! `ci/build-module test` runs this with the environment it needs.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failing helper fails the test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nginx_sys as ngx;

/// Byte and bit of the first bit set in `bytes`.
fn first_bit(bytes: &[u8]) -> Option<(usize, u32)> {
    bytes.iter().position(|byte| *byte != 0).map(|at| (at, bytes[at].trailing_zeros()))
}

struct Seen {
    text: String,
    program: String,
}

macro_rules! look {
    ($seen:ident, $type:ident: $($setter:ident = $field:literal),* $(,)?) => {
        let size = size_of::<ngx::$type>();
        let name = stringify!($type);
        writeln!($seen.text, "{name} {size}").unwrap();
        writeln!($seen.program, "    size(\"{name}\", sizeof({name}));").unwrap();
        $(
            let mut value = std::mem::MaybeUninit::<ngx::$type>::zeroed();
            // SAFETY: all zero bytes are a valid value of these C structures, and initialise their padding.
            let bytes = unsafe {
                (*value.as_mut_ptr()).$setter(1);
                std::slice::from_raw_parts(value.as_ptr().cast::<u8>(), size)
            };
            let (byte, bit) = first_bit(bytes).expect("the setter sets a bit");
            writeln!($seen.text, "{name}.{} {byte} {bit}", $field).unwrap();
            writeln!($seen.program, "    field({name}, {});", $field).unwrap();
        )*
    };
}

fn as_rust_sees_it() -> Seen {
    let mut seen = Seen { text: String::new(), program: String::new() };
    // Its bits are left to C: `src/flags.c`.
    look!(seen, ngx_http_request_t: );
    look!(seen, ngx_http_request_body_t: );
    look!(seen, ngx_event_t: set_timer_set = "timer_set", set_timedout = "timedout", set_eof = "eof",
        set_error = "error", set_ready = "ready", set_delayed = "delayed", set_cancelable = "cancelable", set_posted = "posted",
        set_pending_eof = "pending_eof");
    look!(seen, ngx_connection_t: set_idle = "idle", set_close = "close", set_error = "error", set_log_error = "log_error",
        set_buffered = "buffered", set_sendfile = "sendfile");
    look!(seen, ngx_peer_connection_t: set_cached = "cached", set_log_error = "log_error");
    look!(seen, ngx_http_upstream_t: set_buffering = "buffering", set_keepalive = "keepalive",
        set_request_body_sent = "request_body_sent", set_cacheable = "cacheable");
    look!(seen, ngx_http_upstream_conf_t: set_cache = "cache", set_intercept_404 = "intercept_404");
    look!(seen, ngx_http_cache_t: );
    look!(seen, ngx_http_file_cache_t: );
    look!(seen, ngx_event_pipe_t: set_upstream_done = "upstream_done", set_upstream_eof = "upstream_eof",
        set_upstream_error = "upstream_error", set_downstream_error = "downstream_error");
    look!(seen, ngx_buf_t: set_memory = "memory", set_in_file = "in_file", set_last_buf = "last_buf",
        set_last_in_chain = "last_in_chain", set_sync = "sync");
    look!(seen, ngx_file_t: set_directio = "directio");
    look!(seen, ngx_open_file_info_t: set_is_file = "is_file", set_is_directio = "is_directio",
        set_errors = "errors", set_events = "events");
    look!(seen, ngx_variable_value_t: set_len = "len", set_valid = "valid", set_no_cacheable = "no_cacheable",
        set_not_found = "not_found");
    look!(seen, ngx_http_upstream_state_t: );
    look!(seen, ngx_http_upstream_srv_conf_t: );
    look!(seen, ngx_http_core_loc_conf_t: set_noname = "noname", set_lmt_excpt = "lmt_excpt");
    look!(seen, ngx_http_core_main_conf_t: );
    look!(seen, ngx_shm_zone_t: );
    look!(seen, ngx_slab_pool_t: );
    look!(seen, ngx_module_t: );
    seen
}

const HEAD: &str = r#"
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <stdio.h>
#include <string.h>

static unsigned char bytes[65536];

static void size(const char *name, size_t n) { printf("%s %zu\n", name, n); }

static void found(const char *name) {
    size_t i;
    int bit;
    for (i = 0; i < sizeof(bytes) && bytes[i] == 0; i++) { }
    for (bit = 0; bit < 8 && !(bytes[i] >> bit & 1); bit++) { }
    printf("%s %zu %d\n", name, i, bit);
}

#define field(type, name) do { \
    memset(bytes, 0, sizeof(bytes)); ((type *) (void *) bytes)->name = 1; found(#type "." #name); } while (0)

int main(void) {
"#;

/// The include flags of nginx's own build.
fn includes(source: &Path, build: &Path) -> Vec<String> {
    let makefile = std::fs::read_to_string(build.join("Makefile")).expect("nginx's Makefile");
    let joined = makefile.replace("\\\n", " ");
    let line =
        joined.lines().find_map(|line| line.strip_prefix("ALL_INCS =")).expect("ALL_INCS in the Makefile");
    line.split_whitespace()
        .filter(|word| *word != "-I")
        .map(|dir| format!("-I{}", source.join(dir.trim_start_matches("-I")).display()))
        .collect()
}

fn as_c_sees_it(program: &str) -> String {
    let dir = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(source), Some(build)) = (dir("NGINX_SOURCE_DIR"), dir("NGINX_BUILD_DIR")) else {
        panic!("run this test through `ci/build-module test`: it needs nginx's headers");
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (code, binary) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&code, format!("{HEAD}{program}    return 0;\n}}\n")).unwrap();
    let cc = Command::new("cc")
        .args(includes(&source, &build))
        .arg("-o")
        .arg(&binary)
        .arg(&code)
        .output()
        .unwrap();
    assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
    let run = Command::new(&binary).output().unwrap();
    assert!(run.status.success());
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn rust_and_c_agree_about_every_field_in_use() {
    let seen = as_rust_sees_it();
    let c = as_c_sees_it(&seen.program);
    assert_eq!(seen.text.lines().collect::<Vec<_>>(), c.lines().collect::<Vec<_>>());
    assert!(c.lines().count() > 30);
}
