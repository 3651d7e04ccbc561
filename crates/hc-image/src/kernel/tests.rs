use super::*;

/// An ELF file with one note, and 9 bytes behind it that do not belong to it.
fn elf(note: u32) -> Vec<u8> {
    let mut elf = vec![0; 64 + 56 + 20];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[18] = 62;
    elf[32] = 64; // program headers: where, size, how many
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = 4; // PT_NOTE
    elf[64 + 8] = 120;
    elf[64 + 32] = 20;
    elf[120..].copy_from_slice(
        &[[4, 0, 0, 0], [4, 0, 0, 0], note.to_le_bytes(), *b"Xen\0", 0x100_0000_u32.to_le_bytes()]
            .concat(),
    );
    elf.extend(b"relocated");
    elf
}

fn bz_image(payload: &[u8], size: u32) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[0x0f, 2]);
    let length = u32::try_from(payload.len() + 4).unwrap();
    image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
    [image, payload.to_vec(), size.to_le_bytes().to_vec()].concat()
}

#[test]
fn the_elf_file_alone_comes_out_of_a_bz_image() {
    let elf = elf(18);
    let payload = zstd::encode_all(&elf[..], 3).unwrap();
    let image = bz_image(&payload, u32::try_from(elf.len()).unwrap());
    let (found, entry) = unpack(&image, "vmlinuz").unwrap();
    assert_eq!((found.as_slice(), entry), (&elf[..140], 0x100_0000));
}

#[test]
fn every_packing_that_a_kernel_can_have_is_read() {
    let elf = elf(18);
    for (format, tool) in crate::compress::tests::TOOLS {
        let payload = crate::compress::tests::packed(tool, &elf);
        let size = u32::try_from(elf.len()).unwrap();
        // The size that a gzip stream ends with is the payload's own.
        let image = match format {
            Format::Gzip => {
                let (stream, _) = payload.split_last_chunk::<4>().unwrap();
                bz_image(stream, size)
            }
            _ => bz_image(&payload, size),
        };
        let (found, entry) = unpack(&image, "vmlinuz").unwrap();
        assert_eq!((found.as_slice(), entry), (&elf[..140], 0x100_0000), "{format}");
    }
}

#[test]
fn nonsense_is_refused_with_the_place() {
    let good = elf(18);
    let payload = zstd::encode_all(&good[..], 3).unwrap();
    let says = |kernel: &[u8]| unpack(kernel, "k").unwrap_err().to_string();
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        says(&bad)
    };
    let mut long = bz_image(&payload, 149);
    long[0x24e] = 9;
    let said = [
        says(b""),
        says(&elf(17)),
        with(18, 3),
        with(33, 9),
        with(54, 8),
        with(64 + 33, 9),
        with(120, 200),
        with(124, 3),
        says(&long),
        says(&bz_image(&payload, 148)),
        says(&bz_image(&payload, 150)),
        says(&bz_image(&payload, u32::MAX)),
        says(&bz_image(b"nothing", 7)),
    ];
    insta::assert_snapshot!(said.join("\n"), @r"
    kernel k: at byte 514: neither a bzImage nor an ELF file
    kernel k: at byte 0: of the unpacked kernel: it has no PVH entry, so QEMU cannot start it: build it with CONFIG_PVH=y
    kernel k: at byte 18: of the unpacked kernel: for the machine 3, not x86-64 (62)
    kernel k: at byte 2368: of the unpacked kernel: 56 bytes are named here, past the end of the file
    kernel k: at byte 54: of the unpacked kernel: headers of 8 bytes, too small
    kernel k: at byte 64: of the unpacked kernel: 2324 bytes are named here, past the end of the file
    kernel k: at byte 132: of the unpacked kernel: a note: 200 bytes are named here, past the end of the file
    kernel k: at byte 120: of the unpacked kernel: a PVH entry of 3 bytes
    kernel k: at byte 584: the payload is said to be bytes 1024 to 590925 of 1101
    kernel k: at byte 1024: the zstd payload is damaged: it unpacks to more than 148 bytes
    kernel k: at byte 1024: the payload unpacks to 149 bytes and says 150
    kernel k: at byte 1024: the payload says it unpacks to 4294967295 bytes; the limit is 536870912
    kernel k: at byte 1024: the payload's compression is not known
    ");
}

#[test]
fn any_flipped_bit_is_survived() {
    let good = elf(18);
    for at in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        let _ = unpack(&bad, "k");
        let _ = modules::Info::parse(&bad);
    }
}
