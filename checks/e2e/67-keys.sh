# Hosts that exchange their keys when they are deployed.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/hosts.sh"

host east 1
host west 2
listen east west
near=$(address_of near.lan.east.test) far=$(address_of far.lan.west.test)

two_hosts 192.0.2.2 www
check "deploy of one host" deploy_on east
silent "warning: (host|this host)" "asks the other one for its key"
check "deploy of the other" deploy_on west
silent "warning: (host|this host)" "which knows it already"
check "machines reach each other" within 5 get east near "$far"
key=$(hc_on west net key)
same "the one knows the other's key" "$(jq -r .hosts.west.publicKey /var/lib/hc/east/overlay.json)" "$key"
same "and both the same secret" "$(jq -r .hosts.west.presharedKey /var/lib/hc/east/overlay.json)" \
	"$(jq -r .hosts.east.presharedKey /var/lib/hc/west/overlay.json)"
same "root alone reads it" "$(stat -c %a /var/lib/hc/{east,west}/overlay.{json,key} | sort -u)" 600
refuse 1 "" "the store has neither" grep -rqE "$key|$(jq -r .hosts.west.presharedKey /var/lib/hc/east/overlay.json)" \
	/var/lib/hc/east/current/ /var/lib/hc/west/current/
refuse 1 "this is host 'west' of cloud 'test', not 'north'" "a host answers to its own name only" hc_on west net exchange \
	<<<'{"cloud":"test","from":"east","to":"north","keys":{"publicKey":"","presharedKey":""}}'
two_hosts 192.0.2.2:2222 web
check "deploy while the other does not answer" deploy_on east
says "host 'west' cannot be asked for its key.*refused.*the last one it said is used" "says so"
check "and changes nothing" get east near "$far"
two_hosts 192.0.2.2 web
rm /var/lib/hc/west/overlay.*
hc_on west agent restart >/dev/null
refuse 28 "" "a host that lost its key is not reached" get east near "$far"
check "deploy of it" deploy_on west
says "warning: host 'east' has another key for host 'west' now" "says that it has another one"
check "and it is reached" within 5 get east near "$far"
sed -i 's|ssh = "192.0.2.2";|& publicKey = "'"$key"'";|' "$WORK/cloud/cloud.nix"
check "deploy with a key in the flake, which is that of before" deploy_on east
sleep 0.5 # it is looked at four times a second
refuse 28 "" "takes no other" get east near "$far"
two_hosts 192.0.2.2 web
check "deploy without it" deploy_on east
check "takes what was said again" within 5 get east near "$far"

sed -i 's/hosts.west = /hosts.east = { address = "192.0.2.3"; }; &/' "$WORK/cloud/cloud.nix"
refuse 3 "already defined" "a host's name cannot be there twice" deploy_on east
for name in east west; do
	check "$name is destroyed" hc_on $name destroy --yes --keep-store
	same "nothing is left of its network" "$(on $name ip -o link | grep -c ': hc')" 0
	same "nor of its rules" "$(on $name nft list ruleset | wc -l)" 0
done
finish
