# Does not stop when it is asked to.
trap '' INT
echo ready
while :; do sleep 0.1; done
