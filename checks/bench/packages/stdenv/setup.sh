set -e
for phase in unpack configure build install; do
	"${phase}Phase"
done
