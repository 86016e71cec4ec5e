# Runs one server for a parent that may die at any moment.
#
#   watchdog SIGNAL DIRECTORY SERVER [ARGUMENT...]
#
# Stdin is a pipe that only the parent holds open: it carries `start` and `stop`, a line each, and
# when it closes, for whatever reason, the server is stopped and DIRECTORY removed. Stdout tells
# the parent `exited STATUS` whenever the server has ended. SIGNAL asks the server to end; after
# 10 s without effect it is killed. While DIRECTORY/preparing exists, it is left alone for up to
# 5 s. This must lead its own process group.
signal=$1
directory=$2
shift 2

# The server must never hold the parent's pipe, or it would outlive a hung watchdog unnoticed.
exec 3<&0 </dev/null
mkfifo "$directory/pid" || exit

start() {
    : >"$directory/running"
    # A shell of its own waits for the server, because this one waits for the parent. Telling the
    # parent comes last: if there is no parent, the write kills that shell.
    (
        "$@" >>"$directory/server.log" 2>&1 &
        echo "$!" >"$directory/pid"
        wait "$!"
        status=$?
        rm -f "$directory/running"
        echo "exited $status"
    ) 3<&- &
    read -r pid <"$directory/pid"
}

stop() {
    tenths=0
    while [ -e "$directory/running" ] && [ "$tenths" -lt 150 ]; do
        case $tenths in
        0) kill -s "$signal" "$pid" ;;
        100) kill -s KILL "$pid" ;;
        esac
        tenths=$((tenths + 1))
        sleep 0.1
    done
}

clean_up() {
    stop
    # Someone still fills the directory: a program broken off by that could leave shared memory.
    tenths=0
    while [ -e "$directory/preparing" ] && [ "$tenths" -lt 50 ]; do
        tenths=$((tenths + 1))
        sleep 0.1
    done
    rm -rf "$directory" || { sleep 1 && rm -rf "$directory"; }
    # Whatever the server left behind, and this shell.
    kill -s KILL 0
}

trap clean_up EXIT
trap exit HUP INT TERM
while read -r request <&3; do
    case $request in
    start) start "$@" ;;
    stop) stop ;;
    esac
done
