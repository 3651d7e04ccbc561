# Binary caches on real servers: nginx over TLS with logins, written with PUT, cut and restarted
# half-way; several by their priorities; and servers that lie.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin conf ca www/cache www/private www/second
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let
  sh = builtins.path { path = ./busybox; name = "busybox"; };
  make = name: script: derivation {
    inherit name;
    system = "x86_64-linux";
    builder = "${sh}/bin/sh";
    args = [ "-ec" script ];
  };
  large = make "large" "${sh}/bin/busybox head -c 12000000 /dev/urandom > $out";
  texts = builtins.genList (n: make "text-${toString n}" "echo ${toString n} > $out") 30;
in make "thing" "echo ${sh} ${large} ${toString texts} > $out; echo built >&2"
NIX
export NIX_CONF_DIR="$WORK/conf" XDG_CACHE_HOME="$WORK/answers" HOME="$WORK/home"

# A certificate authority of our own, and a server with a certificate of it.
(
	cd ca
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ours \
		-keyout ca.key -out ca.pem
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
		-keyout server.key -out server.csr
	printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
		-extfile extensions -out server.pem
) >ca/log 2>&1
printf 'me:%s\n' "$(openssl passwd -apr1 'pass word')" >users
cat >nginx.conf <<CONF
user root;
daemon on;
pid $WORK/nginx.pid;
error_log $WORK/nginx.error;
events {}
http {
	access_log $WORK/access;
	client_body_temp_path $WORK/bodies;
	client_max_body_size 0;
	server {
		listen 127.0.0.1:8443 ssl;
		server_name localhost;
		ssl_certificate $WORK/ca/server.pem;
		ssl_certificate_key $WORK/ca/server.key;
		root $WORK/www;
		location / {
			dav_methods PUT;
			create_full_put_path on;
			limit_except GET HEAD { auth_basic cache; auth_basic_user_file $WORK/users; }
		}
		location /private/ { auth_basic cache; auth_basic_user_file $WORK/users; alias $WORK/www/cache/; }
		location /slow/ { limit_rate 3m; alias $WORK/www/cache/; }
	}
}
CONF
nginx_up() { nginx -c "$WORK/nginx.conf" -e "$WORK/nginx.error"; }
liars=""
trap 'kill $liars $(cat nginx.pid 2>/dev/null) 2>/dev/null' EXIT
nginx_up
url=https://localhost:8443

conf() {
	printf 'ssl-cert-file = %s\nnetrc-file = %s\nstalled-download-timeout = 2\ndownload-attempts = 3\n' \
		"$WORK/ca/ca.pem" "$WORK/netrc" >conf/nix.conf
	printf 'trusted-public-keys = %s\n' "$(hc key public <secret)" >>conf/nix.conf
	[ -z "$*" ] || echo "$*" >>conf/nix.conf
}
# An empty store for each: what it wrote to standard error is in `log`.
count=0
take() {
	count=$((count + 1))
	rm -rf --one-file-system "$WORK/store"
	hc build --store "$WORK/store" --file . --no-link --print-out-paths -L "$@" 2>log
}
# Nothing but whole paths, and no more memory than there may be.
clean() {
	same "$1: nothing is left half-way" \
		"$(find "$WORK/store/nix/var/nix/hc-scratch" "$WORK/store/nix/store" -maxdepth 1 \
			\( -name '*.lock' -o -name '*-incoming' -o -path '*hc-scratch/*' \))" ""
}

hc key generate cache-1 >secret
conf
thing=$(hc build --file . --no-link --print-out-paths)
: >netrc
refuse 1 "401.*netrc" "a server that wants a login says so" hc copy --to "$url/cache" "$thing"
printf 'machine localhost\nlogin me\npassword "pass word"\n' >netrc
check "copy to a server" hc copy --to "$url/cache?priority=30&want-mass-query=true" --key-file secret "$thing"
same "all of it is there" "$(find www/cache -name '*.narinfo' | wc -l)" 33
same "once" "$(hc copy --to "$url/cache" --json "$thing" | jq -c .copied)" "[]"
same "no part is left" "$(find www /tmp -maxdepth 3 -name '*.part' 2>/dev/null)" ""
NIX_SSL_CERT_FILE=$WORK/ca/ca.pem check "C++ Nix reads it" nix --extra-experimental-features nix-command \
	copy --store "$WORK/nix" --from "$url/private" --option netrc-file "$WORK/netrc" \
	--option trusted-public-keys "$(hc key public <secret)" "$thing"

conf "substituters = $url/private"
same "with a login" "$(take)" "$thing"
refuse 1 "" "not built" grep -q built log
: >netrc
conf "substituters = $url/private?priority=1"
same "without it: built" "$(take)" "$thing"
check "and said why" grep -q "401" log
conf "substituters = $url/cache"
sed -i '/^ssl-cert-file/d' conf/nix.conf
same "nobody knows the certificate: built" "$(take)" "$thing"
check "and said why" grep -qi "certificate" log
NIX_SSL_CERT_FILE=$WORK/ca/ca.pem take >out
same "the certificate comes from the environment" "$(cat out)" "$thing"
refuse 1 "" "not built" grep -q built log

# Answers are remembered: neither records nor the cache's own are asked again.
conf "substituters = $url/cache"
rm -rf answers
take >out
: >access
same "taken again" "$(take)" "$thing"
same "archives were read" "$(grep -c 'GET /cache/nar/' access)" 32
same "and records were not" "$(grep -c 'narinfo\|nix-cache-info' access)" 0
conf "substituters = $url/cache
narinfo-cache-positive-ttl = 0"
: >access
take >out
same "unless that is wanted" "$(grep -c 'GET /cache/.*narinfo' access)" 32

# The best priority wins, whatever the order.
cp -a www/cache/. www/second
sed -i 's/^Priority: .*/Priority: 10/' www/second/nix-cache-info
conf "substituters = $url/cache $url/second"
: >access
same "from the better one" "$(take)" "$thing"
same "all of it" "$(grep -c 'GET /second/nar/' access) $(grep -c 'GET /cache/nar/' access)" "32 0"
conf "substituters = $url/cache?priority=5 $url/second"
: >access
take >out
same "the address overrides it" "$(grep -c 'GET /second/nar/' access) $(grep -c 'GET /cache/nar/' access)" "0 32"
# What the better one lost comes from the other.
conf "substituters = $url/second $url/cache"
rm -f www/second/nar/*
same "lost archives come from the other" "$(take)" "$thing"
check "and said" grep -q "from another" log
refuse 1 "" "not built" grep -q built log
clean "lost archives"

# The server goes away in the middle, and comes back.
conf "substituters = $url/slow"
: >access
take >out &
taking=$!
sleep 2
kill "$(cat nginx.pid)"
for _ in $(seq 50); do [ -e nginx.pid ] || break; sleep 0.1; done
nginx_up
wait "$taking"
same "a server that was restarted half-way" "$(cat out)" "$thing"
check "the rest was asked for" grep -q '" 206 ' access
refuse 1 "" "not built" grep -q built log

# Servers that lie: what they have is taken from the next, or built, and nothing is left of it.
for how in flip short other garbage endless slow big-record redirect cut; do
	rm -f address
	"$top/checks/lib/liar" "$WORK/www/cache" "$how" >address 2>/dev/null &
	liars="$liars $!"
	for _ in $(seq 100); do [ -s address ] && break; sleep 0.1; done
	liar=$(head -1 address)
	# What a stall costs is the time to notice it, once for each try.
	tries=$([ "$how" != slow ] || echo "download-attempts = 1")
	conf "substituters = $liar?priority=1 $url/cache
$tries"
	same "$how: comes all the same" "$(take)" "$thing"
	clean "$how"
	refuse 1 "" "$how: not built" grep -q built log
	if [ "$how" = cut ]; then
		check "cut: the rest was asked for" grep -q "resumed at" address
		continue
	fi
	check "$how: said" grep -q "$liar" log
	conf "substituters = $liar
$tries"
	same "$how, and no other: built" "$(take)" "$thing"
	check "$how: built" grep -q built log
	clean "$how, and no other"
	rm -rf --one-file-system "$WORK/store"
	refuse 1 "$liar" "$how: a copy is refused" \
		/usr/bin/time -f %M -o memory "$HC" --store "$WORK/store" copy --from "$liar" "$thing"
	check "$how: in little memory ($(tail -1 memory) KiB)" [ "$(tail -1 memory)" -lt 65536 ]
	clean "$how, copied"
done
finish
