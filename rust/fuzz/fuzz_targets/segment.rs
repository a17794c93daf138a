//! Any bytes where the header of a segment should be: no panic, and what is taken for a header is
//! written back as the same page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate_shm::Header;

fuzz_target!(|page: &[u8]| {
    if let Ok(header) = Header::parse(page) {
        let written = header.encode().expect("what was read can be written");
        assert_eq!(Header::parse(&written).expect("what was written can be read"), header);
    }
});
