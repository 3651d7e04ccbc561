for url in $urls; do
	curl -o "$out" "$url" && exit
done
exit 1
