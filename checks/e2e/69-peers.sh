# A laptop that comes in over WireGuard, and allowances between hosts.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/hosts.sh"

host east 1
host west 2
host away 3 # the laptop
listen east west
near=$(address_of near.lan.east.test) far=$(address_of far.lan.west.test)
hidden=$(address_of hidden.back.west.test)
two_hosts 192.0.2.2 www
check "deploy of one host" deploy_on east
check "and of the other" deploy_on west

# Allowances between hosts.
refuse 7 "" "networks are kept apart" get east near "$hidden" 3
sed -i 's|overlay.mode = "wireguard";|& overlay.allow = [ "near.lan.east -> hidden.back.west:80" ];|' "$WORK/cloud/cloud.nix"
check "deploy of an allowance" deploy_on east
silent '^(stop|restart|start) ' "touches no machine"
refuse 7 "" "one host alone does not open the other" get east near "$hidden" 3
check "deploy of it there" deploy_on west
check "who may reaches the other" get east near "$hidden"
check "and finds its name" hc_on east exec near -- getent ahostsv6 hidden.back.west.test.internal
refuse 2 "" "and no other name there" hc_on east exec near -- getent ahostsv6 other.back.west.test.internal
refuse 7 "" "nor the other way round" get west hidden "$near" 3
sed -i 's|near.lan.east -> hidden.back.west:80|near.lan -> hidden.back.west:80|' "$WORK/cloud/cloud.nix"
refuse 3 "overlay.allow: 'near.lan -> hidden.back.west:80/tcp': 'near.lan' says no host" "sides say their hosts" deploy_on east

# The laptop.
refuse 1 "say --network NAME; there are: back, lan" "a network is named where there are several" \
	hc_on east net peer add phone
refuse 1 "'near' is a machine" "a name of a machine is taken" hc_on east net peer add near --network lan
hc_on east net peer add phone --network lan --json >"$WORK/phone.json"
phone=$(jq -r .address "$WORK/phone.json")
same "its address follows from its name" "$phone" "$(address_of phone.lan.east.test)"
jq -r .config "$WORK/phone.json" >"$WORK/phone.conf"
check "the configuration says where and with which key" grep -q 'Endpoint = 192.0.2.1:24790' "$WORK/phone.conf"
private=$(sed -n 's/^PrivateKey = //p' "$WORK/phone.conf")
refuse 1 "" "its private key is kept nowhere" grep -rqF "$private" /var/lib/hc/east
refuse 1 "there is a peer 'phone' already" "it is added once" hc_on east net peer add phone --network lan
check "another one, with a code to point a phone at" hc_on east net peer add tablet --network back --endpoint home.example
says 'Endpoint = home.example:24790' "finds the host where it is told"
says '█▀▀' "draws the code"
check "they are listed" hc_on east net peer ls
says '^phone +lan ' "by name and network"
check "one is let in no longer" hc_on east net peer rm tablet
same "and the other stays" "$(hc_on east net peer ls --json | jq -r '.[].name')" phone

# As its owner would: WireGuard's own tools, with the implementation in Go where the kernel has none.
export WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go
check "the laptop comes up" on away wg-quick up "$WORK/phone.conf"
fetch() { on away curl -sS --max-time 2 "http://[$1]/"; }
check "it reaches a machine" within 5 fetch "$near"
says hello "in full"
check "and one on the other host" within 5 fetch "$far"
refuse "7" "" "and none of another network" on away curl -sS --max-time 5 "http://[$hidden]/"
check "it is reached" hc_on east net trace near "[$phone]:1"
says 'it arrived, and nothing listens' "where nothing listens"
check "it finds names" on away curl -sS --max-time 5 http://near.lan.east.test.internal/
check "and short ones" on away curl -sS --max-time 5 http://near/
sed -i 's|near.lan -> hidden.back.west:80|near.lan.east -> hidden.back.west:81|' "$WORK/cloud/cloud.nix"
check "a deploy" deploy_on east
check "changes nothing about it" fetch "$near"
hc_on east agent restart
check "nor does another agent" within 5 fetch "$near"
check "it is let in no longer" hc_on east net peer rm phone
refuse 28 "" "and reaches nothing" on away curl -sS --max-time 2 "http://[$near]/"
on away wg-quick down "$WORK/phone.conf" 2>/dev/null
for name in east west; do check "$name is destroyed" hc_on $name destroy --yes --keep-store; done
finish
