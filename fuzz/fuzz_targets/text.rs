//! candor_fuzz::text under libFuzzer.
#![no_main]

use std::panic::set_hook;
use std::process::abort;

use candor_graph::guard;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: {
    // Candor makes errors of a library's panics; only those that leave it count.
    set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    if let Err(words) = guard::guarded(|| candor_fuzz::text(bytes)) {
        eprintln!("panicked: {words}");
        abort();
    }
});
