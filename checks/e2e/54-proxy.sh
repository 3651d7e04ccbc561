# Binary caches, downloads and uploads through a proxy: only it can find the servers.
# own store
. "$(dirname "$0")/../lib/test.sh"

cd "$WORK"
mkdir -p busybox/bin conf ca www/cache
cp /bin/busybox busybox/bin/busybox
ln -s busybox busybox/bin/sh
cat >default.nix <<'NIX'
let sh = builtins.path { path = ./busybox; name = "busybox"; };
in derivation {
  name = "thing"; system = "x86_64-linux"; builder = "${sh}/bin/sh"; args = [ "-ec" "echo ${sh} > $out" ];
}
NIX
export NIX_CONF_DIR="$WORK/conf" HOME="$WORK/home" XDG_CACHE_HOME="$WORK/answers"
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
(
	cd ca
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ours \
		-keyout ca.key -out ca.pem
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=cache.test \
		-keyout server.key -out server.csr
	printf 'subjectAltName=DNS:cache.test,DNS:localhost\nbasicConstraints=CA:FALSE\n' >extensions
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
		-extfile extensions -out server.pem
) >ca/log 2>&1
printf 'ssl-cert-file = %s\nrequire-sigs = false\ndownload-attempts = 2\nstalled-download-timeout = 5\n' "$WORK/ca/ca.pem" >conf/nix.conf
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
		listen 127.0.0.1:8081;
		listen 127.0.0.1:8444 ssl;
		ssl_certificate $WORK/ca/server.pem;
		ssl_certificate_key $WORK/ca/server.key;
		root $WORK/www;
		location / { dav_methods PUT; create_full_put_path on; }
		location /moved/ { return 302 https://cache.test:8444/cache/; }
		location ~ ^/moved/(.+)$ { return 302 https://cache.test:8444/cache/\$1; }
	}
}
CONF
nginx -c "$WORK/nginx.conf" -e "$WORK/nginx.error"
# A proxy that knows where cache.test is, which nobody else does.
echo "127.0.0.1 localhost cache.test" >hosts
proxy() {
	cat >"proxy.$1" <<-END
		Port $1
		Listen 127.0.0.1
		Timeout 60
		LogFile "$WORK/proxy.$1.log"
		LogLevel Connect
		MaxClients 50
		Allow 127.0.0.1
		$2
	END
	unshare --mount sh -c "mount --bind $WORK/hosts /etc/hosts; exec tinyproxy -d -c $WORK/proxy.$1" >"proxy.$1.out" 2>&1 &
	for _ in $(seq 100); do curl -s "http://127.0.0.1:$1" >/dev/null && return; sleep 0.1; done
}
proxy 3128 "ConnectPort 8444"
proxy 3129 "BasicAuth me secret"
trap 'kill $(jobs -p) $(cat nginx.pid 2>/dev/null) 2>/dev/null' EXIT
asked() { grep -c "Request.*$1" "proxy.$2.log"; }

thing=$(hc build --store "$WORK/here" --file . --no-link --print-out-paths)
copy() { hc --store "$WORK/here" copy --to "$1" "$thing"; }
number=0
take() {
	number=$((number + 1))
	rm -rf --one-file-system answers
	hc --store "$WORK/there$number" copy --from "$1" "$thing"
}
refuse 1 "cache.test" "without a proxy nobody is found" take http://cache.test:8081/cache
refuse 1 "cache.test" "HTTP_PROXY is not read, as by curl" env HTTP_PROXY=http://127.0.0.1:3128 "$HC" store ping http://cache.test:8081/cache

export http_proxy=http://127.0.0.1:3128
check "PUT over http, by http_proxy" copy http://cache.test:8081/cache
check "it is a request of the whole address" grep -q "PUT http://cache.test:8081/cache/.*narinfo" proxy.3128.log
check "to get over http" take http://cache.test:8081/cache
check "it came" test -e "there$number$thing"
silent_before=$(asked "GET http://cache.test" 3128)
check "many requests" test "$silent_before" -ge 4
check "ping" hc store ping http://cache.test:8081/cache
says "priority" "and what it says"
refuse 1 "cache.test" "https has its own" take https://cache.test:8444/cache
export https_proxy=127.0.0.1:3128
check "over https, by https_proxy, without a scheme" take https://cache.test:8444/cache
check "through a tunnel" grep -q "CONNECT cache.test:8444" proxy.3128.log
check "PUT over https" copy https://cache.test:8444/cache2
check "it came" test -e www/cache2/nix-cache-info
check "from http on to https" take http://cache.test:8081/moved
unset http_proxy https_proxy
same "ALL_PROXY" "$(ALL_PROXY=http://127.0.0.1:3128 hc store ping --json http://cache.test:8081/cache | jq -r .wantMassQuery)" false
check "HTTPS_PROXY" env HTTPS_PROXY=http://127.0.0.1:3128 "$HC" store ping https://cache.test:8444/cache

# Hosts that are asked themselves.
export all_proxy=http://127.0.0.1:3128
before=$(wc -l <proxy.3128.log)
check "no_proxy by name" env no_proxy=localhost "$HC" store ping http://localhost:8081/cache
check "by address" env NO_PROXY="example.com,127.0.0.1" "$HC" store ping http://127.0.0.1:8081/cache
check "by network" env no_proxy=127.0.0.0/8 "$HC" store ping http://127.0.0.1:8081/cache
check "all, with TLS" env no_proxy="*" "$HC" store ping https://localhost:8444/cache
same "the proxy was not asked" "$(wc -l <proxy.3128.log)" "$before"
refuse 1 "cache.test" "one that only it knows" env no_proxy=test "$HC" store ping http://cache.test:8081/cache
check "others go through it" env no_proxy=example.com "$HC" store ping http://localhost:8081/cache
check "as it says" test "$(wc -l <proxy.3128.log)" -gt "$before"

# With a login.
refuse 1 "the proxy wants a login" "no login" env all_proxy=http://127.0.0.1:3129 "$HC" store ping http://cache.test:8081/cache
refuse 1 "proxy does not let us through.*407" "nor for a tunnel" env all_proxy=http://127.0.0.1:3129 "$HC" store ping https://cache.test:8444/cache
check "a login" env all_proxy=http://me:secret@127.0.0.1:3129 "$HC" store ping http://cache.test:8081/cache
check "a login for a tunnel" env all_proxy=http://me:secret@127.0.0.1:3129 "$HC" store ping https://cache.test:8444/cache
refuse 1 "only http:// proxies" "another kind of proxy" env all_proxy=socks5://127.0.0.1:3128 "$HC" store ping http://cache.test:8081/cache
refuse 1 "127.0.0.1:1|refused" "a proxy that is not there" env all_proxy=http://127.0.0.1:1 "$HC" store ping http://cache.test:8081/cache

# What evaluation and builds fetch.
echo hello >www/file
check "builtins.fetchurl" hc eval --raw --impure --expr 'builtins.readFile (builtins.fetchurl "http://cache.test:8081/file")'
same "it came" "$(cat out)" hello
tar -C busybox -czf www/tree.tar.gz .
check "builtins.fetchTarball over https" hc eval --impure --expr 'builtins.readDir (builtins.fetchTarball "https://cache.test:8444/tree.tar.gz")'
check "builtin:fetchurl" hc build --store "$WORK/fetched" --no-link --impure --expr "derivation {
	name = \"file\"; system = \"builtin\"; builder = \"builtin:fetchurl\"; url = \"https://cache.test:8444/file\";
	outputHash = \"$(nix-hash --type sha256 --flat --base32 www/file 2>/dev/null)\"; outputHashAlgo = \"sha256\"; outputHashMode = \"flat\"; }"
rm -rf --one-file-system answers
check "a build takes from a cache" hc build --store "$WORK/substituted" --file . --no-link --substituters http://cache.test:8081/cache -L
check "it did" test -e "substituted$thing"
finish
