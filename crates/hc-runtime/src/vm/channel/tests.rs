use super::super::stream::pair;
use super::*;
use hc_guest::wire::End;

/// One side of a connection, for tests.
struct Peer<M> {
    stream: Stream,
    decoder: Decoder<M>,
}

impl<M: wire::Message> Peer<M> {
    fn new(socket: OwnedFd) -> Self {
        Self { stream: Stream::new(socket), decoder: Decoder::new() }
    }

    fn say<N: wire::Message>(&mut self, session: u32, message: &N) {
        wire::encode(session, message, self.stream.out()).unwrap();
        self.stream.flush();
    }

    fn hear(&mut self) -> Vec<(u32, M)> {
        self.decoder.push(&self.stream.read());
        std::iter::from_fn(|| self.decoder.next().unwrap()).collect()
    }
}

fn open() -> (Channel, Peer<ToGuest>) {
    let (ours, theirs) = pair().unwrap();
    let mut channel = Channel::open(Stream::new(ours)).unwrap();
    channel.identify(wire::Identity::default()).unwrap();
    let mut guest = Peer::new(theirs);
    assert_eq!(guest.hear().len(), 2);
    (channel, guest)
}

fn client(channel: &mut Channel) -> Peer<FromGuest> {
    let (ours, theirs) = pair().unwrap();
    channel.welcome(ours);
    Peer::new(theirs)
}

#[test]
fn sessions_are_kept_apart() {
    let (mut channel, mut guest) = open();
    let (mut one, mut other) = (client(&mut channel), client(&mut channel));
    one.say(OWN, &ToGuest::Pack("/one".into()));
    other.say(OWN, &ToGuest::Pack("/other".into()));
    assert_eq!(channel.pass(), []);
    assert_eq!(guest.hear(), [], "not before it knows who it is");
    guest.say(MACHINE, &FromGuest::Identified);
    assert_eq!(channel.pass(), [Told::Identified]);
    let asked = guest.hear();
    assert_eq!(asked, [(1, ToGuest::Pack("/one".into())), (2, ToGuest::Pack("/other".into()))]);
    guest.say(2, &FromGuest::Output(1, b"second".to_vec()));
    guest.say(1, &FromGuest::Output(1, b"first".to_vec()));
    guest.say(1, &FromGuest::Exit(End::Code(0)));
    assert_eq!(channel.pass(), []);
    assert_eq!(other.hear(), [(OWN, FromGuest::Output(1, b"second".to_vec()))]);
    let all = [FromGuest::Output(1, b"first".to_vec()), FromGuest::Exit(End::Code(0))];
    assert_eq!(one.hear(), all.map(|message| (OWN, message)));
    assert!(one.stream.read().is_empty() && !one.stream.is_open());
    other.say(OWN, &ToGuest::Window(6));
    channel.pass();
    assert_eq!(guest.hear(), [(2, ToGuest::Window(6))]);
}

#[test]
fn who_leaves_has_its_session_closed_and_its_output_eaten() {
    let (mut channel, mut guest) = open();
    guest.say(MACHINE, &FromGuest::Identified);
    channel.pass();
    let mut one = client(&mut channel);
    one.say(OWN, &ToGuest::Unpack("/".into()));
    channel.pass();
    drop(one);
    channel.pass();
    assert_eq!(guest.hear(), [(1, ToGuest::Unpack("/".into())), (1, ToGuest::Close)]);
    guest.say(1, &FromGuest::Output(1, vec![0; 10]));
    channel.pass();
    assert_eq!(guest.hear(), [(1, ToGuest::Window(10))]);
    guest.say(1, &FromGuest::Exit(End::Signal(1)));
    channel.pass();
    assert!(channel.abandoned.is_empty() && channel.clients.is_empty());
}

#[test]
fn a_client_cannot_speak_for_the_host_nor_to_other_sessions() {
    let (mut channel, mut guest) = open();
    guest.say(MACHINE, &FromGuest::Identified);
    channel.pass();
    let mut one = client(&mut channel);
    for message in [ToGuest::Stop, ToGuest::Input(b"x".to_vec()), ToGuest::Quiesce] {
        one.say(MACHINE, &message);
    }
    channel.pass();
    assert_eq!(guest.hear(), []);
    one.say(77, &ToGuest::Pack("/".into()));
    one.say(5, &ToGuest::Signal(9));
    one.say(MACHINE, &ToGuest::Stop);
    channel.pass();
    assert_eq!(guest.hear(), [(1, ToGuest::Pack("/".into())), (1, ToGuest::Signal(9))]);
}

#[test]
fn the_supervisors_own_questions_are_answered_once_or_given_up() {
    let (mut channel, mut guest) = open();
    guest.say(MACHINE, &FromGuest::Identified);
    channel.pass();
    let tcp = ToGuest::Ask(wire::Question::Tcp(80));
    let (well, ill, late) =
        (channel.begin(&tcp).unwrap(), channel.begin(&tcp).unwrap(), channel.begin(&tcp).unwrap());
    assert_eq!(guest.hear(), [well, ill, late].map(|session| (session, tcp.clone())));
    guest.say(well, &FromGuest::Exit(End::Code(0)));
    guest.say(ill, &FromGuest::Output(2, b"status 503\n".to_vec()));
    channel.pass();
    assert_eq!((channel.ended(well), channel.ended(well)), (Some(Ok(())), None));
    assert_eq!(channel.ended(ill), None);
    guest.say(ill, &FromGuest::Exit(End::Code(1)));
    channel.end(late);
    channel.pass();
    assert_eq!(channel.ended(ill), Some(Err("status 503".into())));
    assert_eq!(guest.hear(), [(ill, ToGuest::Window(11)), (late, ToGuest::Close)]);
    guest.say(late, &FromGuest::Exit(End::Signal(1)));
    channel.pass();
    assert!(channel.abandoned.is_empty() && channel.ended(late).is_none());
}

#[test]
fn a_guest_that_speaks_nonsense_is_told_about_once() {
    let (mut channel, mut guest) = open();
    guest.stream.out().extend([0xff; 64]);
    guest.stream.flush();
    assert!(matches!(channel.pass()[..], [Told::Broken(_)]));
    guest.say(MACHINE, &FromGuest::Ready);
    assert_eq!(channel.pass(), []);
    assert!(!channel.is_identified());
}

#[test]
fn a_guest_that_is_to_stand_still_is_told_nothing_else() {
    let (mut channel, mut guest) = open();
    guest.say(MACHINE, &FromGuest::Identified);
    channel.pass();
    let mut one = client(&mut channel);
    one.say(OWN, &ToGuest::Pack("/".into()));
    channel.hold(true);
    channel.send(MACHINE, &ToGuest::Quiesce).unwrap();
    guest.say(MACHINE, &FromGuest::Output(1, b"late".to_vec()));
    guest.say(MACHINE, &FromGuest::Quiet);
    assert_eq!(channel.pass(), [Told::Output(1, b"late".to_vec()), Told::Quiet]);
    assert_eq!(guest.hear(), [(MACHINE, ToGuest::Quiesce)]);
    channel.hold(false);
    channel.pass();
    let then = [(MACHINE, ToGuest::Window(4)), (1, ToGuest::Pack("/".into()))];
    assert_eq!(guest.hear(), then);
}

#[test]
fn a_copy_is_heard_from_its_hello_on() {
    let (ours, theirs) = pair().unwrap();
    let mut channel = Channel::open_to_copy(Stream::new(ours)).unwrap();
    let mut guest: Peer<ToGuest> = Peer::new(theirs);
    guest.say(3, &FromGuest::Output(1, b"of another".to_vec()));
    assert_eq!(channel.pass(), []);
    guest.say(MACHINE, &FromGuest::Hello { version: wire::VERSION, identified: true });
    guest.say(MACHINE, &FromGuest::Identified);
    assert_eq!(channel.pass(), [Told::Hello(wire::VERSION), Told::Identified]);
}

#[test]
fn what_the_payload_writes_is_granted_again() {
    let (mut channel, mut guest) = open();
    guest.say(MACHINE, &FromGuest::Output(2, b"oops".to_vec()));
    assert_eq!(channel.pass(), [Told::Output(2, b"oops".to_vec())]);
    assert_eq!(guest.hear(), [(MACHINE, ToGuest::Window(4))]);
}
