//! candor_fuzz::text under libFuzzer.
#![no_main]

use std::panic::set_hook;
use std::process::abort;

use candor_graph::guard;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: {
    // Candor turns panics of libraries into errors; only uncaught ones count.
    set_hook(Box::new(|_| {}));
}, |bytes: &[u8]| {
    if let Err(words) = guard::guarded(|| candor_fuzz::text(bytes)) {
        eprintln!("panicked: {words}");
        abort();
    }
});
