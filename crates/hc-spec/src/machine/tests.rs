use super::*;

fn minimal() -> serde_json::Value {
    serde_json::json!({
        "schema": 1, "name": "web", "host": "demo", "cloud": "demo", "kind": "container",
        "image": {"rootfs": "/nix/store/x/rootfs.erofs"}, "command": ["/bin/true"],
    })
}

fn parse(value: &serde_json::Value) -> Result<MachineSpec, SpecError> {
    MachineSpec::from_json(value.to_string().as_bytes())
}

#[test]
fn defaults_fill_in_and_the_text_is_stable() {
    let spec = parse(&minimal()).unwrap();
    assert!(spec.isolation.user_namespace);
    let again = MachineSpec::from_json(spec.to_json().as_bytes()).unwrap();
    assert_eq!(again.to_json(), spec.to_json());
}

#[test]
fn an_image_says_what_the_machine_does_not() {
    let mut value = minimal();
    value["image"]["manifest"] = "/nix/store/x/manifest.json".into();
    value["command"] = serde_json::json!([]);
    value["env"] = serde_json::json!({"A": "own"});
    let manifest = |config: serde_json::Value| {
        let text = serde_json::json!({"schema": 1, "origin": {}, "config": config});
        crate::image::Manifest::from_json(text.to_string().as_bytes()).unwrap()
    };
    let image = manifest(serde_json::json!({
        "command": ["/entry", "arg"], "env": {"A": "image", "B": "image"}, "user": "33:4",
        "workdir": "/srv", "stopSignal": "QUIT", "init": true, "labels": {"x": "y"},
    }));
    let mut spec = parse(&value).unwrap();
    assert_eq!((spec.user(), spec.stop.signal()), ("root", "TERM"));
    assert!(!spec.is_init());
    spec.adopt(&image).unwrap();
    assert!(spec.is_init());
    assert_eq!(spec.command, ["/entry", "arg"]);
    assert_eq!((&*spec.env["A"], &*spec.env["B"]), ("own", "image"));
    assert_eq!((spec.user(), spec.stop.signal()), ("33:4", "QUIT"));
    assert_eq!(spec.workdir(), std::path::Path::new("/srv"));
    value["command"] = serde_json::json!(["/own"]);
    value["user"] = "7".into();
    value["init"] = false.into();
    let mut spec = parse(&value).unwrap();
    spec.adopt(&image).unwrap();
    assert_eq!((spec.command.join(" "), spec.user()), ("/own".into(), "7"));
    assert!(!spec.is_init());
    value["command"] = serde_json::json!([]);
    let nothing = parse(&value).unwrap().adopt(&manifest(serde_json::json!({})));
    assert!(nothing.unwrap_err().to_string().contains("the image has none either"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (key, value, says) in [
        ("command", serde_json::json!([]), "command"),
        ("schema", serde_json::json!(9), "this hc reads 1"),
        ("files", serde_json::json!({"/a/../b": {"text": ""}}), "plain absolute path"),
        ("files", serde_json::json!({"/a": {}}), "either source or text"),
        ("files", serde_json::json!({"/a": {"text": "", "mode": "9"}}), "not octal"),
        ("limits", serde_json::json!({"memory": 5}), "1 MiB"),
        ("ready", serde_json::json!({"when": "tcp"}), "ready.port"),
        ("networks", serde_json::json!(["a", "a"]), "twice"),
        ("ready", serde_json::json!({"when": "http", "port": 80}), "ready.path"),
        ("ready", serde_json::json!({"when": "command"}), "ready.command"),
        ("ready", serde_json::json!({"command": ["x"]}), "ready.command"),
        ("health", serde_json::json!({}), "either a command"),
        ("health", serde_json::json!({"port": 1, "failures": 0}), "at least 1"),
        ("limits", serde_json::json!({"swap": 5}), "limits.swap"),
        ("limits", serde_json::json!({"cpuWeight": 0}), "between 1 and 10000"),
        (
            "limits",
            serde_json::json!({"rootSize": 4096}),
            "limits.rootSize: must be whole pages, at least 32 MiB",
        ),
        ("volumes", serde_json::json!({"a": {"path": "/x", "size": 5}}), "at least 300M"),
        ("typo", serde_json::json!(1), "unknown field `typo`"),
    ] {
        let mut spec = minimal();
        spec[key] = value;
        let message = parse(&spec).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}
