# Volumes: they outlive deploys, rollbacks and their machine, grow while it runs, and have snapshots.
. "$(dirname "$0")/../lib/test.sh"

describe() { # MORE-OF-vault [MORE-OF-ITS-VOLUME [SIZE]]
	cloud <<-NIX
		{ images, lib, ... }: {
		  cloud.name = "test";
		  hosts.one.machines = {
		    vault = {
		      image = images.debian;
		      command = [ "/bin/sleep" "infinity" ];
		      stop.signal = "KILL";
		      volumes.data = { size = "${3:-300M}"; path = "/var/lib/vault"; ${2-} };
		      $1
		    };
		  };
		}
	NIX
}
in_vault() { hc exec vault -- sh -c "$1"; }
volume() { hc volume ls --json | jq -r ".[] | select(.name == \"vault/data\") | $1"; }
room() { in_vault "df --output=size -k /var/lib/vault | tail -1" | tr -d ' '; }

describe ""
check "deploy" deploy
in_vault 'echo one >/var/lib/vault/file; chown www-data /var/lib/vault/file; sync'
check "ls" hc volume ls
says '^vault/data +/var/lib/vault +300.0 MiB +[0-9.]+ MiB +0 +yes +-' "says what there is"
if [ "$(stat -f -c %T /var/lib/hc)" = ext2/ext3 ]; then
	refuse 1 "would be a copy of all its data.*ext4" "a snapshot where blocks cannot be shared" hc volume snapshot vault/data
	refuse 1 "in use; stop machine 'vault'" "a copy while it is in use" hc volume snapshot vault/data --copy
	check "stop" hc stop vault
	check "a copy when it is not" hc volume snapshot vault/data@copied --copy
	check "start" hc start vault
fi
hc destroy --yes --keep-store >/dev/null
same "destroy takes volumes" "$(hc volume ls --json)" "[]"

# Where snapshots share their blocks.
truncate -s 4G "$WORK/xfs.img" && mkfs.xfs -q "$WORK/xfs.img" && mount -o loop "$WORK/xfs.img" /var/lib/hc || exit 1
check "deploy on XFS" deploy
in_vault 'echo one >/var/lib/vault/file; chown www-data /var/lib/vault/file; head -c 50M /dev/urandom >/var/lib/vault/big'
old=$(machine vault pid)
describe 'env.X = "1";'
check "a deploy that restarts the machine" deploy
check "did" [ "$old" != "$(machine vault pid)" ]
same "its volume is as it was" "$(in_vault 'cat /var/lib/vault/file; stat -c %U /var/lib/vault/file')" "one
www-data"
in_vault 'echo two >/var/lib/vault/file'
check "rollback" hc rollback
same "leaves the volume alone" "$(in_vault 'cat /var/lib/vault/file')" two

before=$(df --output=used -k /var/lib/hc | tail -1)
check "a snapshot while it runs" hc volume snapshot vault/data@first
same "copies nothing" "$(($(df --output=used -k /var/lib/hc | tail -1) - before < 20000))" 1
in_vault 'echo three >/var/lib/vault/file'
check "another" bash -c '"$HC" volume snapshot vault/data --json | jq -re .snapshot >"$WORK/second"'
check "both are listed" hc volume ls vault/data
says '^vault/data@first +20' "the first"
refuse 1 "has a snapshot 'first' already" "the same name again" hc volume snapshot vault/data@first
refuse 1 "cannot name a snapshot" "a name that is a path" hc volume snapshot vault/data@../x
refuse 1 "in use; stop machine 'vault'" "restore while it runs" hc volume restore vault/data@first
check "stop" hc stop vault
refuse 1 "no snapshot 'nope'" "a snapshot that is not there" hc volume restore vault/data@nope
check "restore" hc volume restore vault/data@first
says 'vault/data@before-restore-' "names what it was"
check "start" hc start vault
same "it is what it was" "$(in_vault 'cat /var/lib/vault/file; wc -c </var/lib/vault/big')" "two
52428800"

# Whatever is written meanwhile: a snapshot is whole, and holds what was flushed before it.
in_vault 'cd /var/lib/vault; (i=0; while :; do i=$((i+1)); echo $i >n.new; sync n.new; mv n.new n; sync .; done) >/dev/null 2>&1 &'
sleep 1
for n in 1 2 3; do
	seen=$(in_vault 'cat /var/lib/vault/n')
	hc volume snapshot "vault/data@busy$n" >/dev/null
	echo "$seen" >"$WORK/seen$n"
done
check "stop" hc stop vault
for n in 1 2 3; do
	check "restore of a busy one" hc volume restore "vault/data@busy$n"
	check "start" hc start vault
	check "has what was flushed" [ "$(in_vault 'cat /var/lib/vault/n')" -ge "$(cat "$WORK/seen$n")" ]
	hc stop vault >/dev/null
	check "its file system is whole" xfs_repair -n -f /var/lib/hc/volumes/vault/data/image
done
hc start vault >/dev/null

before=$(room)
check "grow while it runs" hc volume grow vault/data 1G
check "it has room" [ "$(room)" -gt $((before + 500000)) ]
refuse 1 "does not shrink" "shrink" hc volume grow vault/data 500M
in_vault 'head -c 600M /dev/zero >/var/lib/vault/filler && rm /var/lib/vault/filler; sync'
before=$(room)
describe "" "" 2G
check "a larger size in the description" deploy
check "is there after the restart" [ "$(room)" -gt $((before + 900000)) ]
in_vault 'head -c 3G /dev/zero >/var/lib/vault/filler 2>/dev/null; rm -f /var/lib/vault/filler'
same "a full volume is the machine's own trouble" "$(in_vault 'cat /var/lib/vault/n >/dev/null; echo fine')" fine

describe "" 'snapshots = { every = "1m"; keep = 2; };'
check "a schedule" deploy
check "makes a snapshot" bash -c 'for i in $(seq 150); do "$HC" volume ls vault/data | grep -q "@auto-" && exit; sleep 0.1; done; exit 1'
same "and no second one at once" "$(sleep 6; hc volume ls vault/data | grep -c @auto-)" 1

# A machine that is killed hard, supervisor and all: its volume is there for the next.
kill -9 "$(hc status vault --json | jq .supervisorPid)"
check "a supervisor that was killed is replaced" bash -c 'for i in $(seq 100); do "$HC" exec vault -- test -e /var/lib/vault/n 2>/dev/null && exit; sleep 0.1; done; exit 1'

describe 'volumes.kept = { size = "300M"; path = "/kept"; keep = true; };'
check "a volume to be kept" deploy
refuse 1 "in use" "rm of one in use" hc volume rm vault/data --yes
cloud <<-'NIX'
	{ images, ... }: {
	  cloud.name = "test";
	  hosts.one.machines.other = { image = images.minimal; command = [ "/bin/hc" "guest" "init" ]; };
	}
NIX
check "a deploy without the machine" deploy
same "the volume is still there" "$(volume .inUse)" false
refuse 1 "mean it" "rm without --yes" hc volume rm vault/data
refuse 1 "to be kept" "rm of one to be kept" hc volume rm vault/kept --yes
check "gc leaves all of it" bash -c '"$HC" gc && "$HC" volume ls --json | jq -e "length == 2"'
check "gc --state, as long as a generation has the machine, too" bash -c '"$HC" gc --state && "$HC" volume ls --json | jq -e "length == 2"'
check "a dry run with no old generations" hc gc --keep 0 --older-than 0s --state --dry-run
for _ in 1 2 3; do # the current and the previous one always stay
	sed -i "s|\"guest\" \"init\" \];|\"guest\" \"init\" ]; env.N = \"$RANDOM\";|; s|; env.N = [^;]*; env|; env|" "$WORK/cloud/cloud.nix"
	deploy >/dev/null 2>&1
done
check "a dry run says what would go" hc gc --keep 0 --state --dry-run
says 'would delete volume vault/data' "the volume"
says 'would delete the state of vault' "the rest"
silent 'delete volume vault/kept' "not the one to be kept"
check "gc --state" hc gc --keep 0 --state
same "then it is gone" "$(volume .name)" ""
same "not so what is to be kept" "$(hc volume ls --json | jq -r '.[].name')" vault/kept
same "nor the machine that is described" "$(machine other ready)" true
check "destroy" hc destroy --yes --keep-store
says 'still there: vault/kept' "says what it keeps"
check "rm --force" hc volume rm vault/kept --yes --force
same "no loop device is left" "$(losetup -a | grep -c volumes/vault)" 0
umount /var/lib/hc
finish
