# Starts children in sessions of their own, which no signal to the process group reaches.
trap '' INT
setsid sleep 600 &
nohup sleep 600 >/dev/null 2>&1 &
setsid sh -c 'sleep 600 & wait' &
echo ready
wait
