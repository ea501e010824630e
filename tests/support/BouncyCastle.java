import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.*;
import java.security.spec.*;
import java.util.*;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.spec.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cms.*;
import org.bouncycastle.asn1.cms.ecc.ECCCMSSharedInfo;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.smime.SMIMECapabilitiesAttribute;
import org.bouncycastle.asn1.smime.SMIMECapabilityVector;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.*;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.crypto.Digest;
import org.bouncycastle.crypto.digests.*;
import org.bouncycastle.crypto.engines.AESWrapEngine;
import org.bouncycastle.crypto.generators.HKDFBytesGenerator;
import org.bouncycastle.crypto.params.HKDFParameters;
import org.bouncycastle.crypto.params.KeyParameter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.*;
import org.bouncycastle.operator.jcajce.*;
import org.bouncycastle.util.Store;

/**
 * Signs, verifies, seals and opens CMS with BouncyCastle: one job a line, one start of the machine for all of them.
 *
 * A line has words with tabs between them: what to do, where the result goes, and then files. A line of the answer has
 * the name of the result and "ok", or what went wrong. X25519 and X448 with HKDF (RFC 8418) are put together here from
 * BouncyCastle's parts, because its own classes for CMS do not know them.
 */
public class BouncyCastle {
    static final AlgorithmIdentifier WRAP = new AlgorithmIdentifier(NISTObjectIdentifiers.id_aes256_wrap);

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] words = line.split("\t");
            String answer;
            try {
                byte[] result = work(words);
                Files.write(Path.of(words[1]), result);
                answer = "ok";
            } catch (Throwable problem) {
                answer = problem.toString().replace('\n', ' ').replace('\t', ' ');
            }
            System.out.println(words[1] + "\t" + answer);
        }
    }

    static byte[] work(String[] words) throws Exception {
        switch (words[0]) {
            case "sign": return sign(words);
            case "verify": return verify(read(words[2]), words[3].equals("-") ? null : read(words[3]), holder(words[4]));
            case "seal": return seal(words);
            case "open": return open(read(words[2]), key(words[3]), holder(words[4]));
            case "pack": return new CMSCompressedDataGenerator()
                .generate(new CMSProcessableByteArray(read(words[2])), new ZlibCompressor())
                .getEncoded();
            default: throw new IllegalArgumentException(words[0]);
        }
    }

    // sign RESULT CONTENT FORM (ALGORITHM KEY CERTIFICATE)...
    static byte[] sign(String[] words) throws Exception {
        CMSSignedDataStreamGenerator inPieces = new CMSSignedDataStreamGenerator();
        CMSSignedDataGenerator whole = new CMSSignedDataGenerator();
        List<X509CertificateHolder> certificates = new ArrayList<>();
        for (int at = 4; at < words.length; at += 3) {
            X509CertificateHolder certificate = holder(words[at + 2]);
            ContentSigner signer = new JcaContentSignerBuilder(words[at]).setProvider("BC").build(key(words[at + 1]));
            SignerInfoGenerator one = new SignerInfoGeneratorBuilder(
                new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
                .setSignedAttributeGenerator(new DefaultSignedAttributeTableGenerator(announced()))
                .build(signer, certificate);
            inPieces.addSignerInfoGenerator(one);
            whole.addSignerInfoGenerator(one);
            certificates.add(certificate);
        }
        Store<X509CertificateHolder> store = new JcaCertStore(certificates);
        byte[] content = read(words[2]);
        if (words[3].equals("stream")) {
            inPieces.addCertificates(store);
            ByteArrayOutputStream result = new ByteArrayOutputStream();
            OutputStream out = inPieces.open(result, true);
            out.write(content);
            out.close();
            return result.toByteArray();
        }
        whole.addCertificates(store);
        return whole.generate(new CMSProcessableByteArray(content), words[3].equals("opaque")).getEncoded();
    }

    static AttributeTable announced() {
        SMIMECapabilityVector list = new SMIMECapabilityVector();
        list.addCapability(NISTObjectIdentifiers.id_aes128_GCM);
        list.addCapability(NISTObjectIdentifiers.id_aes256_CBC);
        ASN1EncodableVector attributes = new ASN1EncodableVector();
        attributes.add(new SMIMECapabilitiesAttribute(list));
        return new AttributeTable(attributes);
    }

    static byte[] verify(byte[] data, byte[] content, X509CertificateHolder certificate) throws Exception {
        CMSSignedData signed = content == null
            ? new CMSSignedData(data) : new CMSSignedData(new CMSProcessableByteArray(content), data);
        if (signed.getCertificates().getMatches(null).isEmpty()) throw new CMSException("no certificate");
        int good = 0;
        for (SignerInformation signer : signed.getSignerInfos()) {
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(certificate)))
                throw new CMSException("bad signature");
            good++;
        }
        if (good == 0) throw new CMSException("no signer");
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        signed.getSignedContent().write(out);
        return out.toByteArray();
    }

    // seal RESULT CONTENT FORM CIPHER (WAY CERTIFICATE)...
    static byte[] seal(String[] words) throws Exception {
        boolean stream = words[3].equals("stream");
        ASN1ObjectIdentifier cipher = (ASN1ObjectIdentifier) CMSAlgorithm.class.getField(words[4]).get(null);
        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(cipher).setProvider("BC").build();
        List<RecipientInfoGenerator> readers = new ArrayList<>();
        for (int at = 5; at < words.length; at += 2) readers.add(reader(words[at], holder(words[at + 1])));
        byte[] content = read(words[2]);
        ByteArrayOutputStream result = new ByteArrayOutputStream();
        if (words[4].endsWith("GCM")) {
            if (stream) throw new IllegalArgumentException("BouncyCastle 1.72 does not stream it");
            OutputAEADEncryptor aead = (OutputAEADEncryptor) encryptor;
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            readers.forEach(generator::addRecipientInfoGenerator);
            return generator.generate(new CMSProcessableByteArray(content), aead).getEncoded();
        }
        if (stream) {
            CMSEnvelopedDataStreamGenerator generator = new CMSEnvelopedDataStreamGenerator();
            readers.forEach(generator::addRecipientInfoGenerator);
            OutputStream out = generator.open(result, encryptor);
            out.write(content);
            out.close();
            return result.toByteArray();
        }
        CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
        readers.forEach(generator::addRecipientInfoGenerator);
        return generator.generate(new CMSProcessableByteArray(content), encryptor).getEncoded();
    }

    static RecipientInfoGenerator reader(String way, X509CertificateHolder holder) throws Exception {
        java.security.cert.X509Certificate certificate =
            new JcaX509CertificateConverter().setProvider("BC").getCertificate(holder);
        if (way.equals("rsa")) return new JceKeyTransRecipientInfoGenerator(certificate).setProvider("BC");
        if (way.startsWith("oaep-")) {
            String digest = way.substring(5);
            AlgorithmIdentifier oaep = new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(
                PKCSObjectIdentifiers.id_RSAES_OAEP,
                new OAEPParameterSpec(digest, "MGF1", new MGF1ParameterSpec(digest), PSource.PSpecified.DEFAULT));
            return new JceKeyTransRecipientInfoGenerator(certificate, oaep).setProvider("BC");
        }
        if (way.startsWith("hkdf-")) return new HkdfWriter(way.substring(5), holder);
        KeyPairGenerator maker = KeyPairGenerator.getInstance("EC", "BC");
        maker.initialize(((java.security.interfaces.ECPublicKey) certificate.getPublicKey()).getParams());
        KeyPair once = maker.generateKeyPair();
        ASN1ObjectIdentifier agreement = (ASN1ObjectIdentifier) CMSAlgorithm.class.getField(way).get(null);
        return new JceKeyAgreeRecipientInfoGenerator(
            agreement, once.getPrivate(), once.getPublic(), CMSAlgorithm.AES256_WRAP)
            .addRecipient(certificate).setProvider("BC");
    }

    static byte[] open(byte[] data, PrivateKey key, X509CertificateHolder certificate) throws Exception {
        ContentInfo info = ContentInfo.getInstance(data);
        boolean authenticated = info.getContentType().equals(CMSObjectIdentifiers.authEnvelopedData);
        RecipientInformationStore readers = authenticated
            ? new CMSAuthEnvelopedData(info).getRecipientInfos() : new CMSEnvelopedData(info).getRecipientInfos();
        RecipientId named = key.getAlgorithm().equals("RSA")
            ? new KeyTransRecipientId(certificate.getIssuer(), certificate.getSerialNumber())
            : new KeyAgreeRecipientId(certificate.getIssuer(), certificate.getSerialNumber());
        RecipientInformation one = readers.get(named);
        if (one == null) throw new CMSException("not among the recipients");
        Recipient how;
        if (key.getAlgorithm().equals("RSA")) {
            how = authenticated ? new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC")
                : new JceKeyTransEnvelopedRecipient(key).setProvider("BC");
        } else {
            how = new AgreedReader(key, authenticated);
        }
        return one.getContent(how);
    }

    // RFC 8418

    static byte[] wrapping(PrivateKey ours, PublicKey theirs, ASN1ObjectIdentifier scheme, byte[] ukm) throws Exception {
        KeyAgreement agreement = KeyAgreement.getInstance(ours.getAlgorithm(), "BC");
        agreement.init(ours);
        agreement.doPhase(theirs, true);
        byte[] about = new ECCCMSSharedInfo(WRAP, ukm, new byte[] {0, 0, 1, 0}).getEncoded(ASN1Encoding.DER);
        HKDFBytesGenerator derive = new HKDFBytesGenerator(digest(scheme));
        derive.init(new HKDFParameters(agreement.generateSecret(), ukm, about));
        byte[] key = new byte[32];
        derive.generateBytes(key, 0, key.length);
        return key;
    }

    static ASN1ObjectIdentifier scheme(String digest) {
        int last = Map.of("sha256", 19, "sha384", 20, "sha512", 21).get(digest);
        return new ASN1ObjectIdentifier("1.2.840.113549.1.9.16.3." + last);
    }

    static Digest digest(ASN1ObjectIdentifier scheme) {
        if (scheme.equals(scheme("sha256"))) return new SHA256Digest();
        if (scheme.equals(scheme("sha384"))) return new SHA384Digest();
        if (scheme.equals(scheme("sha512"))) return new SHA512Digest();
        throw new IllegalArgumentException("no HKDF: " + scheme);
    }

    static class HkdfWriter implements RecipientInfoGenerator {
        final ASN1ObjectIdentifier scheme;
        final X509CertificateHolder reader;

        HkdfWriter(String digest, X509CertificateHolder reader) {
            this.scheme = scheme(digest);
            this.reader = reader;
        }

        public RecipientInfo generate(GenericKey contentKey) throws CMSException {
            try {
                SubjectPublicKeyInfo theirs = reader.getSubjectPublicKeyInfo();
                String curve = theirs.getAlgorithm().getAlgorithm().getId().equals("1.3.101.111") ? "X448" : "X25519";
                KeyPair once = KeyPairGenerator.getInstance(curve, "BC").generateKeyPair();
                PublicKey to = KeyFactory.getInstance(curve, "BC").generatePublic(new X509EncodedKeySpec(theirs.getEncoded()));
                byte[] ukm = new byte[64];
                new SecureRandom().nextBytes(ukm);
                AESWrapEngine wrap = new AESWrapEngine();
                wrap.init(true, new KeyParameter(wrapping(once.getPrivate(), to, scheme, ukm)));
                byte[] plain = (byte[]) (contentKey.getRepresentation() instanceof byte[]
                    ? contentKey.getRepresentation() : ((Key) contentKey.getRepresentation()).getEncoded());
                SubjectPublicKeyInfo half = SubjectPublicKeyInfo.getInstance(once.getPublic().getEncoded());
                ASN1Sequence readers = new DERSequence(new RecipientEncryptedKey(
                    new KeyAgreeRecipientIdentifier(
                        new IssuerAndSerialNumber(reader.getIssuer(), reader.getSerialNumber())),
                    new DEROctetString(wrap.wrap(plain, 0, plain.length))));
                return new RecipientInfo(new KeyAgreeRecipientInfo(
                    new OriginatorIdentifierOrKey(
                        new OriginatorPublicKey(half.getAlgorithm(), half.getPublicKeyData().getBytes())),
                    new DEROctetString(ukm), new AlgorithmIdentifier(scheme, WRAP), readers));
            } catch (Exception problem) {
                throw new CMSException("X25519 or X448", problem);
            }
        }
    }

    static Key unwrapped(PrivateKey key, AlgorithmIdentifier how, SubjectPublicKeyInfo half, ASN1OctetString ukm, byte[] sealed)
            throws CMSException {
        try {
            // RFC 8418 2: the algorithm of the sender's half stands there without parameters.
            PublicKey theirs = KeyFactory.getInstance(half.getAlgorithm().getAlgorithm().getId(), "BC")
                .generatePublic(new X509EncodedKeySpec(half.getEncoded()));
            byte[] salt = ukm == null ? null : ukm.getOctets();
            AESWrapEngine wrap = new AESWrapEngine();
            wrap.init(false, new KeyParameter(wrapping(key, theirs, how.getAlgorithm(), salt)));
            return new SecretKeySpec(wrap.unwrap(sealed, 0, sealed.length), "AES");
        } catch (Exception problem) {
            throw new CMSException("X25519 or X448", problem);
        }
    }

    /** For all curves, and for contents with and without a code: BouncyCastle 1.72 has no such class for the latter. */
    static class AgreedReader extends JceKeyAgreeEnvelopedRecipient {
        final PrivateKey key;
        final boolean authenticated;

        AgreedReader(PrivateKey key, boolean authenticated) {
            super(key);
            this.key = key;
            this.authenticated = authenticated;
            setProvider("BC");
        }

        protected Key extractSecretKey(AlgorithmIdentifier how, AlgorithmIdentifier cipher, SubjectPublicKeyInfo half,
                ASN1OctetString ukm, byte[] sealed) throws CMSException {
            return key.getAlgorithm().startsWith("X") ? unwrapped(key, how, half, ukm, sealed)
                : super.extractSecretKey(how, cipher, half, ukm, sealed);
        }

        public RecipientOperator getRecipientOperator(AlgorithmIdentifier how, AlgorithmIdentifier cipher,
                SubjectPublicKeyInfo half, ASN1OctetString ukm, byte[] sealed) throws CMSException {
            if (!authenticated) return super.getRecipientOperator(how, cipher, half, ukm, sealed);
            Key secret = extractSecretKey(how, cipher, half, ukm, sealed);
            try {
                GCMParameters given = GCMParameters.getInstance(cipher.getParameters());
                Cipher gcm = Cipher.getInstance("AES/GCM/NoPadding", "BC");
                gcm.init(Cipher.DECRYPT_MODE, secret, new GCMParameterSpec(given.getIcvLen() * 8, given.getNonce()));
                return new RecipientOperator(new Decryptor(cipher, gcm));
            } catch (Exception problem) {
                throw new CMSException("GCM", problem);
            }
        }
    }

    record Decryptor(AlgorithmIdentifier cipher, Cipher gcm) implements InputAEADDecryptor {
        public AlgorithmIdentifier getAlgorithmIdentifier() {
            return cipher;
        }

        public InputStream getInputStream(InputStream in) {
            return new org.bouncycastle.jcajce.io.CipherInputStream(in, gcm);
        }

        public OutputStream getAADStream() {
            return new OutputStream() {
                public void write(int one) {
                    gcm.updateAAD(new byte[] {(byte) one});
                }
            };
        }

        public byte[] getMAC() {
            return null;
        }
    }

    static byte[] read(String file) throws Exception {
        return Files.readAllBytes(Path.of(file));
    }

    static X509CertificateHolder holder(String file) throws Exception {
        return new X509CertificateHolder(read(file));
    }

    static PrivateKey key(String file) throws Exception {
        return BouncyCastleProvider.getPrivateKey(org.bouncycastle.asn1.pkcs.PrivateKeyInfo.getInstance(read(file)));
    }
}
