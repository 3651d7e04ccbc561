#!/bin/bash
# The network's part of a start with 10 and with 1,000 machines, a swap of all rules, the name server
# beside dnsmasq, and what connections carry. In network namespaces of their own; needs root. RUNS is how often (default
# 50), SECONDS_EACH how long each name server is asked. Prints a table.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
runs=${RUNS:-50} length=${SECONDS_EACH:-5}
"$top/checks/install" bench
# The measurements are a test of hc-net's own. HC_BENCH_TEST names one that is built already.
HC_BENCH_TEST=${HC_BENCH_TEST:-$(cd "$top" && cargo test --release -q -p hc-net --test bench --no-run --message-format=json |
	jq -r 'select(.executable and .target.name == "bench") | .executable' | tail -1)}
WORK=$(mktemp -d)
trap 'rm -rf --one-file-system "$WORK"' EXIT
mkdir "$WORK/samples"
. "$top/checks/bench/lib.sh"

# into PREFIX MEASUREMENT…: its figures as samples PREFIX-NAME.
into() {
	say "${*:2}"
	HC_BENCH="${*:2}" "$HC_BENCH_TEST" --ignored --exact measure --nocapture | grep -E '^[a-z0-9-]+ [0-9.]+$' |
		while read -r name value; do echo "$value" >>"$samples/$1-$name"; done
}
for count in 10 1000; do
	into "$count" spawn $count "$runs"
	into "$count" swap $count $((runs / 2))
done
into dns dns 1000 "$length"
for _ in $(seq 5); do into gbit throughput 2; done

echo "| what | hc | beside | | ratio | budget | n |"
echo "|---|---|---|---|---|---|---|"
row "network part of a start at 1,000 machines, ms" 1000-network "at 10 machines" 10-network "≤ 10 ms, ≤ 2"
row "of it links, addresses and rules, ms" 1000-attach "at 10 machines" 10-attach ""
row "until its name is answered, ms" 1000-answer "at 10 machines" 10-answer ""
row "one allowance changed at 1,000 machines, ms" 1000-change "at 10 machines" 10-change ""
row "all rules anew at 1,000 machines, ms" 1000-swap "at 10 machines" 10-swap ""
row "questions a second, 1,000 names" dns-hc-qps dnsmasq dns-dnsmasq-qps ""
row "one TCP connection within a network, Gbit/s" gbit-bridge "a bare veth pair" gbit-veth ""
row "to another host, plain (VXLAN)" gbit-plain "a bare veth pair" gbit-veth ""
row "to another host, WireGuard in the agent" gbit-wireguard "a bare veth pair" gbit-veth ""
row "p99 of an answer, ms" dns-hc-p99 dnsmasq dns-dnsmasq-p99 ""
