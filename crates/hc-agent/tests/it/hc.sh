#!/bin/sh
# Stands in for the hc executable: the test binary named in the state directory plays the agent
# and the supervisors, in this process.
case $1 in
agent) state=$3 ;;
machine) state=$5 ;;
esac
read -r binary <"$state/test-binary"
export HC_TEST_ARGS="$*"
exec "$binary" --exact play::play --nocapture >>"$state/output" 2>&1
