//! Any bytes as a host's description: what is read can be written and read again, the same, and its
//! addresses can be had.
#![no_main]

use hc_spec::HostSpec;
use hc_spec::addr::Place;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<HostSpec>(text) else { return };
    let written = serde_json::to_string(&spec).expect("a spec can be written");
    assert_eq!(serde_json::from_str::<HostSpec>(&written).expect("what was written"), spec);
    for network in spec.networks.keys() {
        let place = Place { cloud: &spec.cloud, host: &spec.host, network };
        assert_ne!(place.gateway(), place.v6(&spec.host));
        assert_ne!(place.gateway_v4(), place.v4(&spec.host));
        // Longer ones are no interface names.
        assert!(place.bridge().len() < 16 && place.link(&spec.host).len() < 16);
        let _ = (place.zone(), place.mac(&spec.host).to_string());
    }
});
