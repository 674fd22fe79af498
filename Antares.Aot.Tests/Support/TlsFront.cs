using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Antares.Aot.Tests.Support;

/// <summary>TLS on loopback in front of a server, with a certificate that nobody trusts who was not told to.</summary>
internal sealed class TlsFront : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly X509Certificate2 _certificate;
    private readonly int _port;

    public TlsFront(int port)
    {
        _port = port;
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using X509Certificate2 made = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        Pem = made.ExportCertificatePem();
        _certificate = X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
        _listener.Start();
        new Thread(Accept) { IsBackground = true }.Start();
    }

    public string Pem { get; }

    public string Url => $"https://localhost:{((IPEndPoint)_listener.LocalEndpoint).Port}";

    public void Dispose()
    {
        _listener.Stop();
        _certificate.Dispose();
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                TcpClient client = _listener.AcceptTcpClient();
                _ = Task.Run(() => Forward(client));
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task Forward(TcpClient client)
    {
        using (client)
        using (var behind = new TcpClient())
        {
            try
            {
                await using var secure = new SslStream(client.GetStream());
                await secure.AuthenticateAsServerAsync(_certificate);
                await behind.ConnectAsync(IPAddress.Loopback, _port);
                await using NetworkStream plain = behind.GetStream();
                await Task.WhenAny(secure.CopyToAsync(plain), plain.CopyToAsync(secure));
            }
            catch (Exception error) when (error is IOException or System.Security.Authentication.AuthenticationException or SocketException)
            {
                // A client that does not trust the certificate goes away; that is what is tested.
            }
        }
    }
}
