use super::*;
use alloc::boxed::Box;
use alloc::string::String;
use core::net::IpAddr;
use proptest::collection::vec;
use proptest::prelude::*;

fn encoded<M: Message>(session: u32, message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(session, message, &mut bytes).unwrap();
    bytes
}

fn decoded<M: Message>(bytes: &[u8], piece: usize) -> Result<Vec<(u32, M)>, WireError> {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(message) = decoder.next()? {
            messages.push(message);
        }
    }
    Ok(messages)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn address() -> impl Strategy<Value = Address> {
    (ip(), any::<u8>()).prop_map(|(ip, prefix)| Address { ip, prefix })
}

fn size() -> impl Strategy<Value = Size> {
    (any::<u16>(), any::<u16>()).prop_map(|(rows, columns)| Size { rows, columns })
}

fn text() -> impl Strategy<Value = String> {
    "[a-z/é]{0,8}"
}

prop_compose! {
    fn interface()(
        device in any::<[u8; 6]>(),
        mac in any::<[u8; 6]>(),
        name in text(),
        mtu in any::<Option<u32>>(),
        addresses in vec(address(), 0..3),
        neighbours in vec((ip(), any::<[u8; 6]>()), 0..3),
    ) -> Interface {
        let neighbours = neighbours.into_iter().map(|(ip, mac)| Neighbour { ip, mac }).collect();
        Interface { device, mac, name, mtu, addresses, neighbours }
    }
}

prop_compose! {
    fn payload()(
        (init, input, stop_signal) in any::<(bool, bool, u8)>(),
        command in vec(text(), 0..3),
        environment in vec((text(), text()), 0..3),
        user in proptest::option::of(text()),
        directory in proptest::option::of(text()),
        terminal in proptest::option::of(size()),
    ) -> Payload {
        Payload { init, command, environment, user, directory, stop_signal, terminal, input }
    }
}

prop_compose! {
    fn mount()(
        path in text(),
        what in prop_oneof![
            (text(), any::<bool>()).prop_map(|(serial, read_only)| Mounted::Disk { serial, read_only }),
            any::<(Option<u64>, u32)>().prop_map(|(size, mode)| Mounted::Memory { size, mode }),
        ],
    ) -> Mount {
        Mount { path, what }
    }
}

prop_compose! {
    fn identity()(
        (hostname, machine_id, clock) in (text(), any::<[u8; 16]>(), any::<u64>()),
        (hosts, resolver) in (proptest::option::of(text()), proptest::option::of(text())),
        interfaces in vec(interface(), 0..3),
        routes in vec((address(), proptest::option::of(ip()), text()), 0..3),
        files in vec((text(), any::<(u32, u32, u32)>(), vec(any::<u8>(), 0..9)), 0..3),
        entropy in vec(any::<u8>(), 0..40),
        payload in payload(),
        readiness in prop_oneof![
            Just(Readiness::Started),
            Just(Readiness::Notify),
            any::<u16>().prop_map(Readiness::Tcp),
        ],
        mounts in vec(mount(), 0..3),
    ) -> Identity {
        let route = |(to, via, interface)| Route { to, via, interface };
        let file = |(path, (mode, uid, gid), contents)| LaidFile { path, mode, uid, gid, contents };
        Identity {
            hostname, machine_id, hosts, resolver, interfaces, entropy, clock, payload, readiness,
            mounts,
            routes: routes.into_iter().map(route).collect(),
            files: files.into_iter().map(file).collect(),
        }
    }
}

prop_compose! {
    fn exec()(
        arguments in vec(text(), 0..3),
        environment in vec((text(), text()), 0..3),
        user in proptest::option::of(text()),
        directory in proptest::option::of(text()),
        terminal in proptest::option::of(size()),
    ) -> Exec {
        Exec { arguments, environment, user, directory, terminal }
    }
}

fn to_guest() -> impl Strategy<Value = ToGuest> {
    prop_oneof![
        any::<u32>().prop_map(ToGuest::Hello),
        identity().prop_map(|identity| ToGuest::Identity(Box::new(identity))),
        Just(ToGuest::Stop),
        Just(ToGuest::Quiesce),
        exec().prop_map(|exec| ToGuest::Exec(Box::new(exec))),
        vec(any::<u8>(), 0..99).prop_map(ToGuest::Input),
        size().prop_map(ToGuest::Resize),
        any::<u8>().prop_map(ToGuest::Signal),
        text().prop_map(ToGuest::Pack),
        text().prop_map(ToGuest::Unpack),
        any::<u32>().prop_map(ToGuest::Window),
        Just(ToGuest::Close),
        Just(ToGuest::Flush),
        vec(text(), 0..3).prop_map(ToGuest::Mount),
        Just(ToGuest::Rehearse),
        (text(), any::<u64>()).prop_map(|(serial, bytes)| ToGuest::Grow(serial, bytes)),
        any::<u16>().prop_map(|port| ToGuest::Ask(Question::Tcp(port))),
        (any::<u16>(), text()).prop_map(|(port, path)| ToGuest::Ask(Question::Http(port, path))),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![any::<u8>().prop_map(End::Code), any::<u8>().prop_map(End::Signal)]
}

fn from_guest() -> impl Strategy<Value = FromGuest> {
    prop_oneof![
        any::<(u32, bool)>()
            .prop_map(|(version, identified)| FromGuest::Hello { version, identified }),
        Just(FromGuest::Identified),
        Just(FromGuest::Started),
        Just(FromGuest::Ready),
        text().prop_map(FromGuest::Notify),
        text().prop_map(FromGuest::Failed),
        Just(FromGuest::Quiet),
        Just(FromGuest::Mounted),
        Just(FromGuest::Rehearsed),
        (end(), any::<bool>()).prop_map(|(end, oom)| FromGuest::Ended { end, oom }),
        (any::<u8>(), vec(any::<u8>(), 0..99)).prop_map(|(s, bytes)| FromGuest::Output(s, bytes)),
        end().prop_map(FromGuest::Exit),
        any::<u32>().prop_map(FromGuest::Window),
    ]
}

proptest! {
    #[test]
    fn what_is_sent_to_the_guest_arrives(
        messages in vec((any::<u32>(), to_guest()), 0..6), piece in 1..80usize,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(s, m)| encoded(*s, m)).collect();
        prop_assert_eq!(decoded::<ToGuest>(&bytes, piece).unwrap(), messages);
    }

    #[test]
    fn what_the_guest_sends_arrives(
        messages in vec((any::<u32>(), from_guest()), 0..6), piece in 1..80usize,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(s, m)| encoded(*s, m)).collect();
        prop_assert_eq!(decoded::<FromGuest>(&bytes, piece).unwrap(), messages);
    }

    #[test]
    fn pieces_make_no_difference(bytes in vec(prop_oneof![Just(0u8), 0..80u8], 0..200)) {
        prop_assert_eq!(decoded::<ToGuest>(&bytes, 1), decoded::<ToGuest>(&bytes, 200));
    }
}

#[test]
fn a_frame_as_it_is_on_the_wire() {
    assert_eq!(encoded(0, &ToGuest::Hello(1)), *b"\x04\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0");
    assert_eq!(
        encoded(0x0102, &FromGuest::Output(2, b"no\n".to_vec())),
        *b"\x04\0\0\0\x49\0\0\0\x02\x01\0\0\x02no\n"
    );
}

#[test]
fn a_long_message_comes_in_several_frames() {
    let file = LaidFile { path: "/f".into(), contents: vec![7; 3 * FRAME], ..LaidFile::default() };
    let identity = Identity { files: vec![file], ..Identity::default() };
    let message = ToGuest::Identity(Box::new(identity));
    let bytes = encoded(0, &message);
    assert_eq!(bytes.len() / FRAME, 3);
    assert_eq!(decoded::<ToGuest>(&bytes, 1000).unwrap(), [(0, message)]);
    let mut interrupted = bytes[..HEADER + FRAME].to_vec();
    interrupted.extend(encoded(0, &ToGuest::Stop));
    assert_eq!(decoded::<ToGuest>(&interrupted, 1000), Err(WireError::Interrupted));
}

#[test]
fn a_connection_begins_with_hello_whatever_is_left_of_another() {
    let (version, identified) = (VERSION, true);
    let answer = FromGuest::Hello { version, identified };
    let left = encoded(3, &FromGuest::Output(1, vec![0xff; 100]));
    for cut in 0..left.len() {
        let mut bytes = left[cut..].to_vec();
        bytes.extend(encoded(0, &answer));
        bytes.extend(encoded(0, &FromGuest::Ready));
        let mut decoder = Decoder::<FromGuest>::until_hello();
        let mut messages = Vec::new();
        for piece in bytes.chunks(5) {
            decoder.push(piece);
            while let Some((_, message)) = decoder.next().unwrap() {
                messages.push(message);
            }
        }
        assert_eq!(messages, [answer.clone(), FromGuest::Ready], "{cut}");
    }
    let mut decoder = Decoder::<ToGuest>::until_hello();
    decoder.push(&encoded(0, &ToGuest::Hello(7)));
    assert_eq!(decoder.next(), Ok(Some((0, ToGuest::Hello(7)))));
}

#[test]
fn too_long_is_refused_when_sent_and_when_received() {
    let mut out = b"before".to_vec();
    let long = ToGuest::Input(vec![0; LONGEST + 1]);
    assert_eq!(encode(1, &long, &mut out), Err(WireError::MessageTooLong(LONGEST)));
    let long = FromGuest::Output(1, vec![0; FRAME]);
    assert_eq!(encode(1, &long, &mut out), Err(WireError::MessageTooLong(FRAME)));
    assert_eq!(out, b"before");
    let frame = *b"\x01\0\x01\0\x06\0\0\0\x01\0\0\0";
    assert_eq!(decoded::<ToGuest>(&frame, 99), Err(WireError::FrameTooLong(65_537)));
    // Frames that go on and on.
    let mut endless = vec![0, 0, 1, 0, 6, 1, 0, 0, 1, 0, 0, 0];
    endless.resize(HEADER + FRAME, 0);
    let endless = endless.repeat(LONGEST / FRAME + 1);
    assert_eq!(decoded::<ToGuest>(&endless, FRAME), Err(WireError::MessageTooLong(LONGEST)));
    let mut endless = vec![0, 0, 1, 0, 73, 1, 0, 0, 1, 0, 0, 0];
    endless.resize(HEADER + FRAME, 0);
    let endless = endless.repeat(2);
    assert_eq!(decoded::<FromGuest>(&endless, FRAME), Err(WireError::MessageTooLong(FRAME)));
}

#[test]
fn what_a_newer_version_says_is_passed_over() {
    let mut bytes = b"\x02\0\0\0\xfe\0\0\0\0\0\0\0??".to_vec();
    // A window with something behind it.
    bytes.extend(b"\x06\0\0\0\x0b\0\0\0\x09\0\0\0\x05\0\0\0!!");
    assert_eq!(decoded::<ToGuest>(&bytes, 3).unwrap(), [(9, ToGuest::Window(5))]);
}

#[test]
fn contents_that_are_none_are_refused() {
    for (kind, contents) in [
        (1, &b"\x01\0\0"[..]),            // a number that ends early
        (9, b"\xff\xff\xff\xff/etc"),     // text that ends early
        (9, b"\x01\0\0\0\xff"),           // bytes that are no text
        (5, b"\xff\xff\xff\xff\0\0\0\0"), // a list longer than what is there
        (2, b""),
    ] {
        let mut bytes = vec![contents.len() as u8, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(contents);
        assert_eq!(decoded::<ToGuest>(&bytes, 99), Err(WireError::Damaged(kind)), "{kind}");
    }
}
